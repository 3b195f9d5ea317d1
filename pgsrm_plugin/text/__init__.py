"""Raw text to scored text: cleaned, picked out, measured."""
