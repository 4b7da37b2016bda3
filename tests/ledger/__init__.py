"""Nothing is lost in silence: each cause of the ledger is made to move by what it names."""
