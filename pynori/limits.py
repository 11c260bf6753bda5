"""THE table of limits: every queue, batch, buffer, recursion and wait has its bound here, with a name and a reason.

Unit last in each name. Reaching a limit is answered with an error that carries the limit's name. `check` verifies the
inequalities between them when the module is imported; a build that breaks one does not start.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# ---- documents
ID_SIZE_BYTES_MAX: Final = 512  # UTF-8; keys of trees must fit a page several times
DOCUMENT_SIZE_BYTES_MAX: Final = 64 * MIB
JSON_DEPTH_MAX: Final = 128  # parsers and writers recurse no deeper
OBJECT_PROPERTIES_MAX: Final = 100_000
STRING_SIZE_BYTES_MAX: Final = 32 * MIB
INCLUDES_MAX: Final = 1_000  # include paths of one load

# ---- batches and the merger
BATCH_COMMANDS_MAX: Final = 10_000
BATCH_SIZE_BYTES_MAX: Final = 64 * MIB
BULK_INSERT_COMMIT_COMMANDS: Final = 8_192  # a bulk insert commits in steps of this many commands,
BULK_INSERT_COMMIT_SIZE_BYTES: Final = 16 * MIB  # or of this many bytes, whichever comes first
MERGER_QUEUE_SIZE_BYTES_MAX: Final = 256 * MIB  # waiting writes of one database
MERGER_WAIT_MS_MAX: Final = 30_000  # when the oldest waiter is older, new writes are refused
HILO_TRIES_MAX: Final = 64  # how often a range is tried again when somebody else wrote its document
UPDATE_TRIES_MAX: Final = 1_000  # how often an embedded update is repeated when somebody else was faster
TOMBSTONES_PER_PURGE: Final = 1_024  # dropped by one transaction, so that other writes wait for milliseconds at most
TOMBSTONE_PURGE_INTERVAL_MS: Final = 5 * 60_000
COMPACTION_LAST_ROWS: Final = 2_000  # rows left to catch up with at which a compaction refuses writes and ends,
COMPACTION_ROUNDS_MAX: Final = 16  # as it does after this many rounds of catching up, however many are left
CLOSE_LOOK_MS: Final = 5  # how often a closing database looks whether the last reader has gone

# ---- HTTP
REQUEST_HEAD_SIZE_BYTES_MAX: Final = 32 * KIB
REQUEST_HEADERS_MAX: Final = 100
REQUEST_LINE_SIZE_BYTES_MAX: Final = 8 * KIB
REQUEST_BODY_SIZE_BYTES_MAX: Final = 128 * MIB  # of routes that hold their body in memory; streams have no end
RESPONSE_BUFFER_SIZE_BYTES_MAX: Final = 4 * MIB  # unsent bytes of one response before its producer has to wait
HEADER_TIMEOUT_MS: Final = 10_000
BODY_RATE_BYTES_PER_SECOND_MIN: Final = 1 * KIB
IDLE_TIMEOUT_MS: Final = 120_000
HANDSHAKE_TIMEOUT_MS: Final = 5_000
CONNECTIONS_MAX: Final = 10_000
CHANNELS_PER_CLIENT_MAX: Final = 100
LISTEN_BACKLOG: Final = 1_024  # connections that the kernel keeps until they are accepted
LINGER_MS: Final = 2_000  # how long a connection that was refused may still send before it is cut
PIPELINED_REQUESTS_MAX: Final = 64  # requests of one connection that wait for their turn; reading pauses then
ROUTER_PATHS_MAX: Final = 4_096  # spelt paths that the router remembers
UNREAD_BODY_SIZE_BYTES_MAX: Final = 1 * MIB  # of a route that takes no body; read and passed over
STREAM_BUFFER_SIZE_BYTES_MAX: Final = 1 * MIB  # of a streamed request body that its handler has not read yet
STREAM_CHUNK_SIZE_BYTES: Final = 64 * KIB  # small pieces of a streamed answer are joined up to this
DOCUMENTS_PER_REQUEST_MAX: Final = 10_000  # ids of one load
MULTI_GET_REQUESTS_MAX: Final = 1_024  # requests within one request
MULTI_GET_STREAM_SIZE_BYTES_MAX: Final = 64 * MIB  # of an inner answer that would be streamed if it stood alone
LISTED_DOCUMENTS_MAX: Final = 1_024  # of a listing that is built in memory; larger pages are streamed
BULK_INSERT_END_WAIT_MS: Final = 25  # how long the end of a body is waited for after its closing bracket
DECOMPRESSION_RATIO_MAX: Final = 100  # above DECOMPRESSION_FREE_SIZE_BYTES
DECOMPRESSION_FREE_SIZE_BYTES: Final = 1 * MIB

# ---- queries
RQL_SIZE_BYTES_MAX: Final = 64 * KIB
RQL_DEPTH_MAX: Final = 64
RQL_IN_TERMS_MAX: Final = 1_024

# ---- index definitions in C#
LINQ_SIZE_MAX: Final = 256 * 1024  # characters of one map or reduce
LINQ_DEPTH_MAX: Final = 64  # expressions within expressions, as they are written
LINQ_MEMBERS_MAX: Final = 1_000  # of one object, one call, one chain, clauses of one query
LINQ_PROBLEM_SIZE_MAX: Final = 200  # characters of a definition that an error shows
EXPRESSION_DEPTH_MAX: Final = 140  # of the tree of an expression; a program holds 160 levels (PROGRAM_DEPTH_MAX)
RQL_CACHED_QUERIES: Final = 2_048  # parsed queries that are kept by their text,
RQL_CACHED_SIZE_MAX: Final = 8 * KIB  # if they have at most this many characters
QUERY_WAIT_MS_DEFAULT: Final = 15_000  # for an index that is up to date, where the client does not say
QUERY_WAIT_MS_MAX: Final = 10 * 60_000
QUERY_THREADS: Final = 4  # queries of all databases that read at the same time; others wait for their turn
QUERY_SHORT_MS: Final = 1.0  # answers as quick as this,
QUERY_SHORT_RUNS: Final = 16  # in the mean of so many, are given without a thread
QUERY_SHORT_TEXTS: Final = 1_024  # whose quickness is remembered; longer texts than the next are not
QUERY_SHORT_TEXT_SIZE_MAX: Final = 4 * KIB  # characters
QUERY_ROWS_BATCH: Final = 256  # rows that are made into results together
QUERY_PIECES_SIZE_BYTES: Final = 256 * KIB  # made in a thread before the event loop gets them; larger answers stream
QUERY_INCLUDED_DOCUMENTS_MAX: Final = 100_000  # of one query
QUERY_SORTED_STEP: Final = 4_096  # entries whose values are read together where the index cannot order by itself
QUERY_SORT_VALUES_MAX: Final = 1_000_000  # different values of such an order
QUERY_PATTERN_TERMS_STEP: Final = 4_096  # terms that a regular expression looks at in one call of the script engine
QUERY_DISTINCT_MAX: Final = 1_000_000  # different results of one `select distinct`
BY_QUERY_BATCH: Final = 1_024  # documents of one transaction of a deletion or a patch by query
BY_QUERY_DETAILS_MAX: Final = 100_000  # documents that the result of such an operation tells about
QUERY_FACETS_MAX: Final = 128  # facets of one query
QUERY_FACET_VALUES_MAX: Final = 100_000  # terms of one facet in an answer; its options page through more
QUERY_SUGGEST_WORDS_MAX: Final = 64  # words that one query asks suggestions for
QUERY_SUGGEST_TERMS_MAX: Final = 1_000_000  # terms of a field that one word is compared with
QUERY_SUGGEST_WORD_SIZE_MAX: Final = 128  # characters; longer words and terms resemble nothing
QUERY_HIGHLIGHT_SIZE_MAX: Final = 1 * MIB  # characters of one value that are searched for words
QUERY_HIGHLIGHT_FRAGMENTS_MAX: Final = 100  # of one field of one result
QUERY_LIKE_TERMS_MAX: Final = 1_024  # words by which moreLikeThis() looks for other documents
QUERY_LIKE_POSTINGS_MAX: Final = 10_000  # entries of a word that are read to learn how often the source has it
QUERY_LIKE_TOKENS_MAX: Final = 100_000  # words of one field that moreLikeThis() reads

# ---- text and places
STEMS_REMEMBERED: Final = 20_000  # words of one language whose stems are kept
GRAM_SIZE_MAX: Final = 32  # characters of one gram
ANALYZER_FILTERS_MAX: Final = 32  # of one composed analyzer
ANALYZER_DEFINITION_SIZE_MAX: Final = 64 * KIB
STOP_WORDS_MAX: Final = 10_000  # of one filter
SEARCH_TERMS_MAX: Final = 1_024  # of one full-text condition; also what fuzzy terms and wildcards grow to
SEARCH_TERMS_STEP: Final = 8_192  # terms that are compared with a fuzzy word at a time
SEARCH_DEPTH_MAX: Final = 32  # parentheses within parentheses of a Lucene query
WKT_SIZE_MAX: Final = 4 * MIB  # characters of one shape
WKT_DEPTH_MAX: Final = 8  # collections within collections
SHAPE_POINTS_MAX: Final = 100_000
COVER_CELLS_MAX: Final = 64  # cells that stand for one shape of a document
SPATIAL_SHAPES_STEP: Final = 1_024  # shapes that are read at a time
QUERY_CELLS_MAX: Final = 32  # that a spatial condition reads; more cost more than they spare

# ---- indexes
INDEXES_MAX: Final = 1_024  # of one database; each has an environment of its own
INDEX_NAME_SIZE_BYTES_MAX: Final = 1_024
INDEX_MAPS_MAX: Final = 64
INDEX_FIELDS_MAX: Final = 1_024
INDEX_HISTORY_MAX: Final = 10  # earlier definitions of an index that the database's record keeps
INDEX_THREADS: Final = 2  # batches of all databases that run at the same time; others wait for their turn
INDEX_THREAD_NICE: Final = 5  # how far these threads stand back behind those that serve
INDEX_BATCH_DOCUMENTS_MAX: Final = 65_536  # documents of one commit of an index: more would touch few pages less often,
INDEX_BATCH_SIZE_BYTES_MAX: Final = 64 * MIB  # and the memory that their terms may take
INDEX_TIMED_STEP: Final = 1_024  # documents between two looks at the clock, of a batch with a limit of time
INDEX_SCRIPT_DOCUMENTS_MAX: Final = 1_024  # documents that go through the interpreter in one commit
INDEX_SCRIPT_SHORT_CALLS_MAX: Final = 64  # calls of a script in the process of the server; more go to a child
INDEX_BATCH_INTERVAL_MS: Final = 25  # between two commits of an index that nobody waits for,
INDEX_BATCH_INTERVAL_LOW_MS: Final = 250  # and when its priority is low
INDEX_WRITE_BACK_BATCH: Final = 1_024  # documents of a reduce that are written in one transaction
REGISTERED_DEFINITIONS_MAX: Final = 1_024  # analyzers of a database or of all, and sorters
INDEX_ERRORS_KEPT_MAX: Final = 500  # of one index; the oldest go
INDEX_ERROR_SIZE_MAX: Final = 1_000  # characters of one message
INDEX_FAILED_PERCENT_MAX: Final = 15  # of its documents; an index that fails for more stops
INDEX_FAILED_ATTEMPTS_MIN: Final = 100  # before which an index that is behind is not judged
INDEX_WAIT_MS_MAX: Final = 10 * 60_000  # how long a query or a save may wait for an index
INDEX_NEED_TRIES_MAX: Final = 16  # to find or make an automatic index while other queries make theirs
INDEX_REBUILDS_MAX: Final = 3  # times that a database builds one automatic index anew because its files are damaged
INDEX_BATCHES_SHOWN: Final = 32  # the last ones of an index
INDEX_RETRY_MS: Final = 5_000  # after a batch that the disk refused
INDEX_CLOSE_LOOK_MS: Final = 10  # how often an index that is to be closed looks whether its last reader has gone
INDEX_TERMS_PAGE_MAX: Final = 1_024  # terms of a field that are read at a time,
INDEX_TERMS_ANSWER_MAX: Final = 262_144  # and that one request lists
INDEX_IDLE_MS: Final = 30 * 60_000  # after which an automatic index that nobody asks is idle,
INDEX_IDLE_KEPT_MS: Final = 72 * 3_600_000  # and after which more it goes
INDEX_WAKE_MS: Final = 1  # between a commit of the database and a look at its indexes, for many commits at once
INDEX_HOUSEKEEPING_MS: Final = 60_000  # how often is looked for these, and tombstones are let go

# ---- patches
PREPARE_REQUESTS_WAITING_MAX: Final = 10_000  # requests with patches that wait for those before them
PREPARE_GROUP_COMMANDS_MAX: Final = 512  # commands of requests that are written as one batch,
PREPARE_GROUP_SIZE_BYTES_MAX: Final = 8 * MIB  # and their documents; one request alone may have more
PREPARE_GROUP_MS: Final = 10  # of scripts, before what they gave is written: a commit costs as much for one as for all
PREPARE_TURN_MS: Final = 5  # of scripts in a row, before the event loop gets its turn
PREPARE_TRIES_MAX: Final = 64  # how often a request is prepared when somebody else changes its documents
JSON_PATCH_OPERATIONS_MAX: Final = 10_000  # of one patch

# ---- scripts
SCRIPT_SIZE_BYTES_MAX: Final = 256 * KIB  # all sources of one program together
SCRIPT_CONTEXTS_MAX: Final = 64  # compiled programs that a process keeps, about 300 KB each
SCRIPT_MEMORY_SIZE_BYTES_MAX: Final = 64 * MIB  # of one context
SCRIPT_STACK_SIZE_BYTES_MAX: Final = 1 * MIB  # about 580 calls deep; threads have more on every platform but musl
SCRIPT_TIME_MS_MAX: Final = 1_000  # processor time of one call
SCRIPT_SERVER_TIME_MS_MAX: Final = 50  # of a call within the server's process; a longer one is repeated in a worker
SCRIPT_LOAD_ROUNDS_MAX: Final = 64  # how often a call is repeated with the documents that it asked for
SCRIPT_LOADS_MAX: Final = 10_000  # documents that one call may load
SCRIPT_WORKERS_MAX: Final = 2  # child processes for long scripts
SCRIPT_WORKER_WAIT_MS: Final = 10_000  # a child that says nothing for so long is killed
SCRIPT_WORKER_BATCH_CALLS: Final = 1_024  # calls that are on their way to a child at once
SCRIPT_WORKER_FRAME_SIZE_BYTES_MAX: Final = 256 * MIB  # of one message between the processes

# ---- channels between nodes
CHANNEL_FRAME_SIZE_BYTES_MAX: Final = 128 * MIB  # a batch of the largest documents; also after decompression
CHANNEL_BUFFER_SIZE_BYTES_MAX: Final = 4 * MIB  # written and not taken by the peer, before the sender waits
CHANNEL_SILENCE_MS: Final = 10_000  # a peer that says nothing for so long is taken to be gone
CHANNEL_OPEN_MS: Final = 5_000  # from the connection's begin to the answer
CHANNEL_REFUSAL_SIZE_BYTES_MAX: Final = 64 * 1024  # of the body of an answer that refuses

# ---- replication
REPLICATION_BATCH_ITEMS_MAX: Final = 4_096  # of one batch, and
REPLICATION_BATCH_SIZE_BYTES_MAX: Final = 2 * MIB  # of its items; a transaction is never split, and may have more
REPLICATION_STEP_ITEMS: Final = 128  # fewer are read on the event loop: a thread would cost more than they do
REPLICATION_INLINE_SIZE_BYTES: Final = 64 * KIB  # of a batch that is checked on the event loop; larger ones in a thread
REPLICATION_WINDOW: Final = 2  # batches on their way: one is applied while the next one is read and sent
REPLICATION_NEWS_MS: Final = 250  # between two messages that bring a position and a vector and no items
REPLICATION_RETRY_MS_MIN: Final = 50  # between two tries to reach another instance
REPLICATION_RETRY_MS_MAX: Final = 2_000
REPLICATION_LINKS_MAX: Final = 1_024  # incoming, of one database
REPLICAS_WAIT_MS_MAX: Final = 10 * 60_000  # how long a save may wait for other instances
REPLICAS_WAIT_MS_DEFAULT: Final = 15_000
CONFLICTS_STEP: Final = 128  # conflicts that are listed or looked at together
CONFLICTS_WAITING_MAX: Final = 10_000  # ids that wait to be resolved; with more, all conflicts are gone through
RESOLVE_TRIES_MAX: Final = 8  # how often a conflict is looked at again when its versions have moved

# ---- raft
RAFT_ELECTION_MS: Final = 600  # without a word from a leader for so long up to twice that, a node stands for election
RAFT_ELECTION_TICKS: Final = 6  # parts of that time, in which it is counted
RAFT_HEARTBEAT_TICKS: Final = 2  # how many of them a leader is silent when it has nothing to say
RAFT_UNCOMMITTED_BYTES_MAX: Final = 64 * MIB  # proposals that wait for their quorum at the leader
RAFT_WINDOW_COUNT_MAX: Final = 256  # appends on their way to one follower
RAFT_LOG_ENTRIES_KEPT: Final = 8_192  # applied entries that followers may still ask for
RAFT_REPEAT_WINDOW: Final = 8_192  # entries within which a command that is proposed again is known
LEADERLESS_WAIT_MS: Final = 2_000  # without a leader for so long, changes are refused at once
PROPOSAL_AGAIN_MS: Final = 500  # a command that was not applied by then is proposed again
READ_BARRIERS_MAX: Final = 10_000  # reads that wait for the leader's word
READ_AGAIN_MS: Final = 200  # a question to the leader that was not answered by then is asked again
PEER_RETRY_MS_MIN: Final = 50  # between two tries to reach a node
PEER_RETRY_MS_MAX: Final = 2_000
PROPOSAL_WAIT_MS: Final = 5_000  # until a change that nobody agrees on is given up
MEMBERSHIP_RETRY_MS: Final = 200  # between two tries to change the membership
MEMBERSHIP_LOOK_MS: Final = 10
PROMOTION_ENTRIES_MAX: Final = 64  # a node that lacks no more has caught up
SWIM_PERIOD_MS: Final = 1_000  # between two probes of a node; a whole probe takes as long
SWIM_HELPERS: Final = 3  # nodes that are asked to reach one that does not answer
SWIM_CONFIRMATIONS: Final = 3  # nodes beside the first that suspect another one, until its time is at its shortest
SWIM_SUSPICION_PERIODS: Final = 1.5  # that shortest time, for ten nodes; it grows with the logarithm of their number,
SWIM_SUSPICION_SPREAD: Final = 3  # and is so many times as long while nobody confirms
SWIM_NEWS_REPEATS: Final = 2  # how often each node sends news on, times the binary logarithm of their number
SWIM_NEWS_MAX: Final = 8  # news on one message; a table has one for each node
SWIM_SCORE_MAX: Final = 4  # periods more that the probe of a node takes which is itself unwell
SWIM_RELAYS_MAX: Final = 64  # probes for other nodes that are under way
SWIM_FRESH_PERIODS: Final = 4  # times the nodes in turn: an answer so long ago says that one lives
REPORT_MS: Final = 500  # how often a node tells the leader how its instances are
REPORT_FRESH_MS: Final = 2_000  # what was told so long ago says how things are now
REPORT_INSTANCES_MAX: Final = 1_000  # of one report; what does not fit goes with the next
REPORT_REASON_SIZE_MAX: Final = 500  # characters of why an instance cannot serve
DECISIONS_STEP: Final = 64  # groups about which is decided at once
DECISIONS_KEPT: Final = 512  # of the supervisor; the oldest go
NODE_TAG_SIZE_MAX: Final = 4
CLUSTER_NODES_MAX: Final = 64
CLUSTER_REMOVED_KEPT: Final = 64  # nodes that have left, which are told so and get their tags again
STATE_PART_SIZE_BYTES: Final = 1 * MIB  # of the whole state on its way to another node, and one value at most beyond it
STATE_PARTS_WINDOW: Final = 4  # parts on their way: what both ends of a transfer hold in memory
STATE_PART_WAIT_MS: Final = 60_000  # until the receiver has a part on disk
STATE_SCRATCH_BYTES_MAX: Final = 96 * MIB  # pages of the state in memory beyond which writers wait for a checkpoint
STATE_CHECKPOINT_BYTES: Final = 32 * MIB  # of the journal, after which one begins
STATE_CLEAR_STEP: Final = 4_096  # values of a state that was replaced, removed by one transaction
RAFT_LOG_ENTRIES_TRANSFER_MAX: Final = 131_072  # entries that are kept for a node that is getting the whole state

# ---- the cluster's state
STATE_COMMANDS_WAITING_MAX: Final = 10_000  # commands that wait for a commit; more are refused
REQUEST_ID_SIZE_BYTES_MAX: Final = 128  # by which a client tells a command that it repeats
REQUESTS_WINDOW: Final = 65_536  # raft indexes for which a command is known by such an id
REQUESTS_FORGET_STEP: Final = 1_024  # raft indexes after which old ones are forgotten
STATE_GROUP_COMMANDS_MAX: Final = 512  # commands of one transaction
STATE_COMMAND_SIZE_BYTES_MAX: Final = 4 * MIB  # one command as JSON: a database record with its indexes
RECORD_UPDATE_TRIES_MAX: Final = 16  # how often a change of a record is repeated when the record has moved
IDENTITY_COUNT_MAX: Final = 100_000  # identities taken by one command
IDENTITY_NAME_SIZE_BYTES_MAX: Final = ID_SIZE_BYTES_MAX
COMPARE_EXCHANGE_KEY_SIZE_BYTES_MAX: Final = 512
COMPARE_EXCHANGE_VALUE_SIZE_BYTES_MAX: Final = 2 * MIB
CLUSTER_TRANSACTION_TRIES_MAX: Final = 64  # to apply one, while others write to its documents
CLUSTER_TRANSACTIONS_STEP: Final = 64  # read at once to be applied
CLUSTER_TRANSACTIONS_REPORTED: Final = 64  # applied ones that are removed from the state together
COMPARE_EXCHANGE_EXPIRE_STEP: Final = 1_024  # expired values that are removed by one command
COMPARE_EXCHANGE_PURGE_STEP: Final = 1_024  # values of a database that is gone, removed by one command
DATABASE_MADE_WAIT_MS: Final = 10_000  # until other nodes have made the files of a new database
DATABASE_DELETED_WAIT_MS: Final = 15_000  # and until they have removed those of one that is deleted
RAFT_INDEX_WAIT_MS_MAX: Final = 30_000
DATABASE_NAME_SIZE_MAX: Final = 128  # characters; the name is a folder's name
DATABASES_MAX: Final = 10_000

# ---- the process
DATABASES_OPENING_MAX: Final = 4  # databases that are opened at the same time when the server starts
OPERATIONS_RUNNING_MAX: Final = 1_024  # of one database, or of the server
OPERATIONS_KEPT_MAX: Final = 4_096  # finished ones that are still readable
OPERATION_KEPT_MS: Final = 15 * 60_000  # clients poll; they must be able to read a result for minutes
SHUTDOWN_GRACE_MS: Final = 10_000
PARENT_WATCH_MS: Final = 500  # how often a test driver's process is looked at
DISK_FREE_WARN_PERCENT: Final = 15
DISK_FREE_REFUSE_PERCENT: Final = 5
DISK_FREE_REFUSE_BYTES: Final = 512 * MIB
DISK_RESERVE_BYTES: Final = 16 * MIB  # blocks that are given up when the disk is full, for deletes and checkpoints
DISK_WATCH_MS: Final = 500  # how often free space, and databases that stopped writing, are looked at
DATABASE_REOPENS_MAX: Final = 1  # times that a database is opened again by itself after a failed sync
LOG_FILE_SIZE_BYTES_MAX: Final = 64 * MIB
LOG_FILES_KEPT: Final = 10
LOG_MESSAGE_SIZE_MAX: Final = 8_192  # characters; longer messages are cut
SCRUB_STEP_PAGES: Final = 64  # pages read on one snapshot: 512 KB, some milliseconds in which no checkpoint begins
SCRUB_START_MS: Final = 10 * 60_000  # between the start and the first pass
SCRUB_PERIOD_MS: Final = 7 * 24 * 3_600_000  # every page is read once a week, if the rate lets it
SCRUB_FINDINGS_MAX: Final = 1_000  # of one pass; more, and it is the disk that is to be replaced
SHARDS_TOTAL: Final = 1_024  # of the key-value service; fixed by the published hash

# ---- the command line
IMPORT_SEGMENT_ROWS: Final = 10_000  # rows that one bulk insert confirms; an interrupted import repeats at most these
IMPORT_SEGMENT_SIZE_BYTES: Final = 16 * MIB
IMPORT_ROW_SIZE_BYTES_MAX: Final = DOCUMENT_SIZE_BYTES_MAX
IMPORT_REFUSED_MAX: Final = 1_000  # rows that the server itself refuses; more, and something else is wrong
IMPORT_REJECTED_SHOWN_MAX: Final = 20  # the rest is in the file of rejected rows
CLIENT_TIMEOUT_MS: Final = 60_000
CLIENT_RESPONSE_SIZE_BYTES_MAX: Final = 64 * MIB  # of answers that are held in memory
CHUNK_SIZE_BYTES: Final = 256 * KIB  # reading of files and streams


def check() -> None:
    """Raise when two limits contradict each other."""
    inequalities = (
        ("a document fits a batch", DOCUMENT_SIZE_BYTES_MAX <= BATCH_SIZE_BYTES_MAX),
        ("a string fits a document", STRING_SIZE_BYTES_MAX <= DOCUMENT_SIZE_BYTES_MAX),
        ("a batch fits the merger's queue twice", 2 * BATCH_SIZE_BYTES_MAX <= MERGER_QUEUE_SIZE_BYTES_MAX),
        ("a batch fits a request body", BATCH_SIZE_BYTES_MAX <= REQUEST_BODY_SIZE_BYTES_MAX),
        ("a bulk insert's step is a batch", BULK_INSERT_COMMIT_COMMANDS <= BATCH_COMMANDS_MAX),
        ("a bulk insert's step fits a batch", BULK_INSERT_COMMIT_SIZE_BYTES <= BATCH_SIZE_BYTES_MAX),
        ("a group of patches is a batch", PREPARE_GROUP_COMMANDS_MAX <= BATCH_COMMANDS_MAX),
        ("a group of patches fits a batch", PREPARE_GROUP_SIZE_BYTES_MAX <= BATCH_SIZE_BYTES_MAX),
        ("a script has more time in a worker", SCRIPT_SERVER_TIME_MS_MAX < SCRIPT_TIME_MS_MAX),
        ("a worker's call ends before it is killed", SCRIPT_TIME_MS_MAX < SCRIPT_WORKER_WAIT_MS),
        ("an id fits a request line", ID_SIZE_BYTES_MAX < REQUEST_LINE_SIZE_BYTES_MAX),
        ("a chunk fits the buffer of a stream", STREAM_CHUNK_SIZE_BYTES <= STREAM_BUFFER_SIZE_BYTES_MAX),
        ("a line fits the head", REQUEST_LINE_SIZE_BYTES_MAX <= REQUEST_HEAD_SIZE_BYTES_MAX),
        ("a group fits the waiting commands", STATE_GROUP_COMMANDS_MAX <= STATE_COMMANDS_WAITING_MAX),
        ("what was applied lately is in the log", RAFT_REPEAT_WINDOW <= RAFT_LOG_ENTRIES_KEPT),
        (
            "a part of the state fits a frame",
            STATE_PART_SIZE_BYTES + 2 * STATE_COMMAND_SIZE_BYTES_MAX < CHANNEL_FRAME_SIZE_BYTES_MAX,
        ),
        (
            "a batch of items fits a frame",
            BATCH_SIZE_BYTES_MAX + REPLICATION_BATCH_SIZE_BYTES_MAX < CHANNEL_FRAME_SIZE_BYTES_MAX,
        ),
        ("a command of the state fits a request", STATE_COMMAND_SIZE_BYTES_MAX <= REQUEST_BODY_SIZE_BYTES_MAX),
        ("the refused share of the disk is below the warned one", DISK_FREE_REFUSE_PERCENT < DISK_FREE_WARN_PERCENT),
        ("the reserve is part of what is kept free", DISK_RESERVE_BYTES < DISK_FREE_REFUSE_BYTES),
        ("a header must arrive before a connection is idle", HEADER_TIMEOUT_MS < IDLE_TIMEOUT_MS),
        ("results of operations outlive polling", OPERATION_KEPT_MS >= 5 * 60_000),
        ("waiting for a raft index ends before a client gives up", RAFT_INDEX_WAIT_MS_MAX < CLIENT_TIMEOUT_MS),
        ("a query that is kept may be asked", RQL_CACHED_SIZE_MAX <= RQL_SIZE_BYTES_MAX),
        ("what a query finds fits batches", BY_QUERY_BATCH <= BATCH_COMMANDS_MAX),
        ("a wait for an index ends", QUERY_WAIT_MS_DEFAULT <= QUERY_WAIT_MS_MAX),
        ("an index's batch of scripts is a batch", INDEX_SCRIPT_DOCUMENTS_MAX <= INDEX_BATCH_DOCUMENTS_MAX),
        ("what a reduce writes is a batch", INDEX_WRITE_BACK_BATCH <= BATCH_COMMANDS_MAX),
        ("an import's row fits a document", IMPORT_ROW_SIZE_BYTES_MAX <= DOCUMENT_SIZE_BYTES_MAX),
    )
    broken = [sentence for sentence, holds in inequalities if not holds]
    if broken:
        raise AssertionError("limits.py contradicts itself: " + "; ".join(broken))


check()
