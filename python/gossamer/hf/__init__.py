# SPDX-License-Identifier: Apache-2.0
"""Language models of transformers, packed: importing this lets ``from_pretrained`` read them.

Needs PyTorch and transformers 5.
"""

from typing import TYPE_CHECKING

from ..optional import needed_by
from ..scipy_names import public

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

if not TYPE_CHECKING:  # type checkers know all names
    __getattr__, __dir__ = public(__name__, __all__)
