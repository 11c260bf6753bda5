"""Query indexes of a database: definitions, the workers that keep them up to date, and what they tell of themselves.

`indexes.Indexes` is all indexes of one database, `index.Index` one of them. Definitions live in the database's record
and change through the cluster's commands; terms and entries live in an environment of their own for each index.
"""
