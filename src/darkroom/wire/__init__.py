"""The wire: the contract's spelling, both ways. Nothing else knows how a field is written."""
