"""Silence for the body of a with-statement: what Hugging Face would chatter, a UserError says in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

LOGGERS = ("transformers", "huggingface_hub")


@contextmanager
def quiet() -> Iterator[None]:
    """Hide load reports, retries and the progress bars of loading weights; put everything back afterwards."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels, bars = [logger.level for logger in loggers], transformers_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
