"""The engine of Pynori: blittable documents, pages, transactions, trees, and what a document write entails.

Each module is one idea; the numbered floors that they stand on are drawn in ARCHITECTURE.md.
"""
