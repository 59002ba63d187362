"""The theory of the Tsallis loss continuum: formulas, estimators and claims, without torch."""
