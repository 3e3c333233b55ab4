"""Bytes to arrays: weight files of every library, and downloads. No model is known here."""
