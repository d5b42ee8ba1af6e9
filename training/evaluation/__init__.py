"""How good the tiny pair is on scenes that nobody trained on."""
