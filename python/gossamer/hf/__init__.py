# SPDX-License-Identifier: Apache-2.0
"""Language models of transformers, packed: importing this lets ``from_pretrained`` read them.

Needs PyTorch and transformers 5.
"""

from ..optional import needed_by

with needed_by("gossamer.hf"):
    from .checkpoints import load_model, load_tokenizer, save_checkpoint
    from .generation import Decoder, Generation, generate
    from .packing import pack_model, unpack_model
    from .perplexity import perplexity
    from .quantizer import GossamerConfig, GossamerQuantizer
    from .streaming import LayerReport, compress_checkpoint

__all__ = [
    "Decoder",
    "Generation",
    "GossamerConfig",
    "GossamerQuantizer",
    "LayerReport",
    "compress_checkpoint",
    "generate",
    "load_model",
    "load_tokenizer",
    "pack_model",
    "perplexity",
    "save_checkpoint",
    "unpack_model",
]
