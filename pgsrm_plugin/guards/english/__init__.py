"""English as the guards read it: words, stems, negation, antonyms, amounts. Each text is read once."""
