"""Helpers that several claims share: slow references, enumerations, fitted slopes, symbolic identities."""
