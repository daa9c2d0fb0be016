"""Everything that goes up or comes down: resumable, checksummed, in bounded memory."""
