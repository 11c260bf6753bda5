"""Types of the check of trees."""

from pynori_core.env import ReadTxn, WriteTxn

def check_transaction(txn: ReadTxn | WriteTxn, file_pages: int) -> tuple[list[str], bytearray]: ...
