"""Walkthroughs: stories told step by step on real server processes, each observation beside what was expected."""
