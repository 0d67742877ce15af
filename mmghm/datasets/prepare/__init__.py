"""What only the converters need: downloads and their verification."""
