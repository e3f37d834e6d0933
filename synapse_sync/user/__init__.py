"""This user's directories, settings, tokens and keyring."""
