"""The trainer's forward pass: rows packed without padding, each prompt run once for all rationales behind it."""
