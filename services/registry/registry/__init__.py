"""The registry owns the truth: students, the face library, punches, terminals, the office's account."""
