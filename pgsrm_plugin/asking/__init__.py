"""Asking a language model: what answers, and the answers that were had, each kept once."""
