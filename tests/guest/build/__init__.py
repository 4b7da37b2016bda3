"""How the artefacts of guests are made; recipe.py says which, and from what."""
