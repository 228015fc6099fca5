# SPDX-License-Identifier: Apache-2.0
"""Tiny random language models of several architectures."""

import tokenizers
import torch
import transformers

WORDS = [f"word{number}" for number in range(50)]

_SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
_GROUPED = {**_SHAPE, "num_key_value_heads": 2, "intermediate_size": 48}
_PHI = {**_SHAPE, "num_key_value_heads": 4, "intermediate_size": 48}

CONFIGS = {
    "llama": lambda **more: transformers.LlamaConfig(**_GROUPED, **more),
    "mistral": lambda **more: transformers.MistralConfig(**_GROUPED, sliding_window=8, **more),
    "qwen3": lambda **more: transformers.Qwen3Config(**_GROUPED, head_dim=8, **more),
    "phi": lambda **more: transformers.PhiConfig(**_PHI, **more),
    "opt": lambda **more: transformers.OPTConfig(
        **_SHAPE, ffn_dim=48, word_embed_proj_dim=32, **more
    ),
}


def tiny_model(architecture="llama", dtype=torch.float32, **options):
    """A model with the same random weights at every call, in every dtype."""
    options = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, **options}
    torch.manual_seed(0)
    config = CONFIGS[architecture](**options)
    drawn = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).state_dict()
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.load_state_dict(drawn)  # 16-bit numbers would be drawn otherwise than 32-bit ones
    return model.eval()


def tiny_windows(samples=3, length=24):
    """Random token ids, shape (samples, length)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, 64, (samples, length), generator=generator)


def tiny_tokenizer():
    """A tokenizer of a few words."""
    names = ["<unk>", "<s>", "</s>", *WORDS]
    model = tokenizers.models.WordLevel({name: i for i, name in enumerate(names)}, "<unk>")
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )


def text(words=400):
    """Words of the tokenizer in random order."""
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randint(len(WORDS), (words,), generator=generator)
    return " ".join(WORDS[i] for i in drawn.tolist())


def save_tiny(folder, architecture="llama", **options):
    """A folder with the tiny model and its tokenizer."""
    model = tiny_model(architecture, **options)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
