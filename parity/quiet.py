"""What every program that runs diffusers' pipelines sets: no warnings, no progress bars, one thread."""

import warnings

import diffusers
import torch
import transformers


def quiet():
    warnings.filterwarnings("ignore")
    for library in (diffusers, transformers):
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
    torch.set_num_threads(1)
