"""The record's messages, generated from proto/recorder/record."""
