# SPDX-License-Identifier: Apache-2.0
"""Language models of transformers. Needs PyTorch and transformers 5."""

from .checkpoints import load_model, load_tokenizer, save_checkpoint
from .perplexity import perplexity

__all__ = ["load_model", "load_tokenizer", "perplexity", "save_checkpoint"]
