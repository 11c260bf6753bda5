"""What holds for all tests: servers under test do not look at how full the disk of this machine happens to be."""

import os

# Tests of the watch over the disk give their own limits on the command line, which comes before the environment.
os.environ["PYNORI_STORAGE_FREESPACEWARNPERCENT"] = "0"
os.environ["PYNORI_STORAGE_FREESPACEREFUSEPERCENT"] = "0"
os.environ["PYNORI_STORAGE_FREESPACEREFUSEINMB"] = "64"
