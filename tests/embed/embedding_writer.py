"""The child of the kill test: puts numbered documents until it is killed, and says which ones were acknowledged."""

import sys

import pynori

if __name__ == "__main__":
    database = pynori.open(sys.argv[1])
    number = len(database)
    while True:
        number += 1
        with database.batch() as batch:
            batch.put(f"numbers/{number}", {"n": number}, collection="Numbers")
            batch.put("last", {"n": number})
        print(number, flush=True)
