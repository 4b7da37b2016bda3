"""Certificates of the recorder's own: the CA that signs them, and the folder in which it lives."""
