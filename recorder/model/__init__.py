"""Values that every room shares: ABIs, call names, the record, the ledger, errors.

No I/O and no state. Only `recorder.model.wire` imports protobuf, and only
`recorder.model.syscall` the tables of names, so the rest is cheap to import.
"""
