"""A second tiny drafter with a vocabulary of its own, and what drafting across vocabularies is worth."""
