"""transformers' CLIP models, as fixtures for src/models/clip: every output, gradients of the contrastive loss, and key sets."""

import json
from pathlib import Path

import torch
import transformers
from networks import SEED, keys_of, no_faint, set_weights
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

torch.set_num_threads(1)
here = Path(__file__).parent / "fixtures"
text = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
text |= {"max_position_embeddings": 10, "projection_dim": 12}
vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
vision |= {"image_size": 10, "patch_size": 4, "projection_dim": 12}

# Texts end in 37; what stands behind is padding: the end token again, another one, and an added token beyond it.
tokens = torch.tensor([[36, 5, 11, 37, 37, 37, 37], [36, 1, 2, 3, 37, 0, 0], [36, 39, 9, 8, 7, 6, 37]])
mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
texts = {
    "quick": {**text, "hidden_act": "quick_gelu", "eos_token_id": 37},
    "legacy": {**text, "hidden_act": "quick_gelu", "eos_token_id": 2},
    "exact": {**text, "hidden_act": "gelu", "eos_token_id": 37, "layer_norm_eps": 1e-3},
}
pictures = {"quick": {**vision, "hidden_act": "quick_gelu"}, "exact": {**vision, "hidden_act": "gelu", "layer_norm_eps": 1e-3}}
tensors = {"tokens": tokens, "mask": mask}
described = {"text": {}, "vision": {}, "both": {}, "published": {}}
generator = torch.Generator().manual_seed(SEED + 1)
images = tensors["images"] = torch.randn((3, 3, 10, 10), generator=generator)


def states(prefix, output):
    return {f"{prefix}.hidden {i}": state for i, state in enumerate(output.hidden_states)}


with torch.no_grad():
    for name, config in texts.items():
        model = CLIPTextModelWithProjection(CLIPTextConfig(**config)).eval()
        set_weights(model)
        for kind, seen in {"plain": None, "masked": mask}.items():
            prefix = f"text {name} {kind}"
            output = model(tokens, attention_mask=seen, output_hidden_states=True)
            body = model.text_model(tokens, attention_mask=seen)
            tensors |= {f"{prefix}.last": output.last_hidden_state, f"{prefix}.embeds": output.text_embeds}
            tensors |= {f"{prefix}.pooled": body.pooler_output, **states(prefix, output)}
            # Stable Diffusion's clip_skip: a state before the last, through the final norm.
            tensors[f"{prefix}.normed 1"] = model.text_model.final_layer_norm(output.hidden_states[-2])
        described["text"][name] = {"config": config, **keys_of(model)}
    for name, config in pictures.items():
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**config)).eval()
        set_weights(model)
        prefix = f"vision {name}"
        output = model(images, output_hidden_states=True)
        tensors |= {f"{prefix}.last": output.last_hidden_state, f"{prefix}.embeds": output.image_embeds}
        tensors |= {f"{prefix}.pooled": model.vision_model(images).pooler_output, **states(prefix, output)}
        described["vision"][name] = {"config": config, **keys_of(model)}

for name in ("quick", "exact"):
    config = {"projection_dim": 8, "text_config": texts[name], "vision_config": pictures[name]}
    model = CLIPModel(CLIPConfig(**config)).eval()
    set_weights(model)
    output = model(input_ids=tokens, pixel_values=images, return_loss=True)
    output.loss.backward()
    gradients = {key: p.grad for key, p in model.named_parameters()}
    no_faint(name, gradients)
    prefix = f"both {name}"
    tensors |= {f"{prefix}.logits": output.logits_per_image.detach(), f"{prefix}.loss": output.loss.detach()}
    tensors |= {f"{prefix}.textEmbeds": output.text_embeds.detach(), f"{prefix}.imageEmbeds": output.image_embeds.detach()}
    tensors |= {f"{prefix}.grad {key}": g for key, g in gradients.items()}
    described["both"][name] = {"config": config, **keys_of(model)}

# Published text encoders, by the config.json of their repositories.
with torch.device("meta"):
    large = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768}
    open_h = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
    big_g = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
    published = {
        "stable-diffusion-v1-5/text_encoder": (CLIPTextModel, large),
        "stable-diffusion-2-1/text_encoder": (CLIPTextModel, {**open_h, "hidden_act": "gelu", "projection_dim": 512}),
        "stable-diffusion-xl-base-1.0/text_encoder_2": (
            CLIPTextModelWithProjection,
            {**big_g, "hidden_act": "gelu", "projection_dim": 1280},
        ),
    }
    for name, (kind, config) in published.items():
        model = kind(CLIPTextConfig(**config))
        if kind is CLIPTextModel:
            # Version 5 leaves out the prefix that every published checkpoint has.
            model = torch.nn.ModuleDict({"text_model": model})
        described["published"][name] = {"config": config, "projection": kind is not CLIPTextModel, **keys_of(model)}

versions = {"transformers": transformers.__version__, "torch": torch.__version__, "seed": str(SEED)}
metadata = {**versions, "cases": json.dumps(described)}
save_file({key: value.contiguous().clone() for key, value in tensors.items()}, here / "clip.safetensors", metadata=metadata)
for name, found in described["published"].items():
    print(name, found["keys"], found["parameters"])
