"""`pgsrm demo-real`: a pretrained child learns one task from a semantic reward, and beside it from others."""
