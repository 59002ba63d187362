"""What several claims check with: slow references, enumerations, fitted slopes, symbolic identities."""
