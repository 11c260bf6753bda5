/* Pynori inside a C or C++ program: open a database directory, read and write documents, take snapshots, scan.
 *
 * In exactly one source file, before any other header:
 *
 *     #define PYNORI_IMPLEMENTATION
 *     #include <pynori.h>
 *
 * Everywhere else the include alone. Compile and link with what `python -m pynori.embed --cflags --libs` prints.
 * `pynori_start` comes first, once; it brings the engine up (inside an interpreter that the program never sees, or in the
 * one that is there already). No other call touches Python, so any thread may make them.
 *
 * Rules
 *   Texts     are UTF-8 with a size in bytes. What comes out is also followed by a zero byte, which its size leaves out.
 *   Codes     Each function returns PYNORI_OK or another pynori_code; `error`, unless NULL, then says what happened.
 *   Threads   A database and a snapshot may be used by many threads at a time; a batch, a scan and a document by one.
 *   Lifetimes A document's pointers hold until it is filled again or released. Batches, snapshots and scans end before
 *             their database is closed, scans before their snapshot; pynori_close and pynori_snapshot_end refuse else.
 *   Fork      What was open before a fork belongs to the parent: in the child every call on it says PYNORI_CLOSED. A
 *             child may open databases of its own.
 *   ABI       PYNORI_ABI changes when something here changes its meaning or its place. Within one ABI, functions are
 *             only added at the end of the table, and fields at the end of structs that begin with their `size`.
 *
 * The long form, with examples: ext/EMBEDDING.md.
 */
#ifndef PYNORI_H
#define PYNORI_H

#ifdef PYNORI_IMPLEMENTATION
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PYNORI_ABI 1

typedef enum pynori_code {
    PYNORI_OK = 0,
    /* Expected: what was asked for cannot be. */
    PYNORI_NOT_FOUND = 1,           /* no such document; of a scan: its end */
    PYNORI_CONCURRENCY = 2,         /* the expected change vector is not the current one */
    PYNORI_COLLECTION_MISMATCH = 3, /* a document may not change its collection */
    PYNORI_CONFLICT = 4,
    PYNORI_INVALID = 5,             /* an argument is outside its documented bounds */
    PYNORI_JSON = 6,                /* not JSON; error.offset is the byte position */
    PYNORI_TOO_LARGE = 7,           /* a named limit was exceeded */
    PYNORI_BUSY = 8,                /* open elsewhere, in use, or too much waits; trying again later is right */
    PYNORI_CLOSED = 9,
    PYNORI_EXPRESSION = 10,         /* a program of an index failed on a document; no call here runs one */
    /* The world failed. */
    PYNORI_IO = 20,                 /* error.system_error is the errno */
    PYNORI_DISK_FULL = 21,
    PYNORI_NO_MEMORY = 22,
    PYNORI_CORRUPT = 23,
    PYNORI_UNKNOWN_OUTCOME = 24,    /* a sync failed: the write may or may not survive */
    PYNORI_POISONED = 25,           /* no more writes after that; reads go on */
    PYNORI_VERSION = 26,            /* files, or an engine, of a version that is not known here */
    PYNORI_UNSAFE_FILESYSTEM = 27,
    /* A defect of the engine. */
    PYNORI_ASSERTION = 40
} pynori_code;

typedef struct pynori_error {
    int32_t code;                   /* pynori_code */
    int32_t system_error;           /* errno, or 0 */
    uint64_t offset;                /* byte position, where that makes sense */
    uint32_t command;               /* of a batch: position of the command that failed */
    uint32_t reserved;
    char message[1000];             /* UTF-8, zero-terminated, one sentence */
} pynori_error;

typedef struct pynori_database pynori_database;
typedef struct pynori_batch pynori_batch;
typedef struct pynori_snapshot pynori_snapshot;
typedef struct pynori_scan pynori_scan;

/* A document as read, or what a write has made of one. All zero before its first use (PYNORI_DOCUMENT_INIT); its memory
 * is used again by the next call that fills it, and goes with pynori_document_release. */
typedef struct pynori_document {
    const char *json;               /* with @metadata; empty for results and tombstones */
    size_t json_size;
    const char *id;                 /* as stored */
    size_t id_size;
    const char *change_vector;      /* "" when nothing was there to delete */
    size_t change_vector_size;
    uint64_t etag;
    uint32_t deleted;               /* of a delete: there was something. Of a change: it is a tombstone */
    uint32_t reserved;
    void *memory;                   /* the engine's */
    size_t memory_size;
} pynori_document;

#define PYNORI_DOCUMENT_INIT {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

enum {
    PYNORI_MUST_EXIST = 1           /* flag of pynori_options: do not make a database where there is none */
};

typedef struct pynori_options {
    size_t size;                    /* sizeof(pynori_options) */
    uint32_t flags;
    uint32_t reserved;
    const char *node_tag;           /* 1 to 4 letters or digits in change vectors; NULL: "A" */
    const char *allow_filesystem;   /* type of file system to allow although unsafe, or NULL */
    uint64_t memory_bytes_max;      /* page images that wait for a checkpoint; 0: 1 GiB */
    uint64_t checkpoint_bytes;      /* journal bytes after which a checkpoint begins; 0: 64 MiB */
} pynori_options;

typedef enum pynori_scan_kind {
    PYNORI_SCAN_IDS = 0,            /* by lower-cased id: all, or those with `prefix`, or what comes after an id */
    PYNORI_SCAN_RECENT = 1,         /* all, the last change first */
    PYNORI_SCAN_COLLECTION = 2,     /* of a collection in order of the last change, or backwards */
    PYNORI_SCAN_CHANGES = 3         /* documents and tombstones with an etag above `since`, by etag */
} pynori_scan_kind;

typedef struct pynori_scan_options {
    size_t size;                    /* sizeof(pynori_scan_options) */
    int32_t kind;                   /* pynori_scan_kind */
    int32_t backwards;
    const char *prefix;
    size_t prefix_size;
    const char *start_after;
    size_t start_after_size;
    const char *collection;
    size_t collection_size;
    uint64_t since;
    uint64_t skip;
    uint64_t limit;                 /* 0: all */
} pynori_scan_options;

typedef struct pynori_counters {
    size_t size;                    /* in: sizeof(pynori_counters); out: how much of it is filled */
    uint64_t documents;
    uint64_t tombstones;
    uint64_t last_etag;
    uint64_t transactions;          /* since opening: handed over, */
    uint64_t commits;               /* and how many commits they became */
    uint64_t syncs;
    uint64_t file_bytes;
    uint64_t memory_bytes;          /* page images in memory */
    uint64_t readers;               /* open snapshots */
} pynori_counters;

typedef struct pynori_api {
    uint32_t abi;
    uint32_t size;                  /* bytes of the table: more than here when the engine is newer */
    const char *(*code_name)(int code);
    int (*open)(const char *path, const pynori_options *options, pynori_database **database, pynori_error *error);
    int (*close)(pynori_database *database, pynori_error *error);
    int (*checkpoint)(pynori_database *database, pynori_error *error);
    int (*counters)(pynori_database *database, pynori_counters *counters, pynori_error *error);
    int (*get)(pynori_database *database, const char *id, size_t id_size, pynori_document *document,
               pynori_error *error);
    int (*put)(pynori_database *database, const char *id, size_t id_size, const char *json, size_t json_size,
               const char *expected, size_t expected_size, pynori_document *result, pynori_error *error);
    int (*remove)(pynori_database *database, const char *id, size_t id_size, const char *expected,
                  size_t expected_size, pynori_document *result, pynori_error *error);
    int (*batch_begin)(pynori_database *database, pynori_batch **batch, pynori_error *error);
    int (*batch_put)(pynori_batch *batch, const char *id, size_t id_size, const char *json, size_t json_size,
                     const char *expected, size_t expected_size, pynori_error *error);
    int (*batch_remove)(pynori_batch *batch, const char *id, size_t id_size, const char *expected,
                        size_t expected_size, pynori_error *error);
    int (*batch_commit)(pynori_batch *batch, pynori_error *error);
    int (*batch_result)(pynori_batch *batch, size_t position, pynori_document *result, pynori_error *error);
    void (*batch_end)(pynori_batch *batch);
    int (*snapshot_begin)(pynori_database *database, pynori_snapshot **snapshot, pynori_error *error);
    int (*snapshot_get)(pynori_snapshot *snapshot, const char *id, size_t id_size, pynori_document *document,
                        pynori_error *error);
    int (*snapshot_end)(pynori_snapshot *snapshot, pynori_error *error);
    int (*scan_begin)(pynori_snapshot *snapshot, const pynori_scan_options *options, pynori_scan **scan,
                      pynori_error *error);
    int (*scan_next)(pynori_scan *scan, pynori_document *document, pynori_error *error);
    void (*scan_end)(pynori_scan *scan);
    void (*document_release)(pynori_document *document);
} pynori_api;

/* Set by pynori_start; NULL before. */
extern const pynori_api *pynori_table;

/* Bring the engine up; once, before all else, from one thread. The interpreter stays until the process ends. */
int pynori_start(pynori_error *error);

static inline const char *pynori_code_name(int code) { return pynori_table->code_name(code); }

/* Open the database in a directory, recovering it first, or make one; "mem://" is in memory and gone after close.
 * options: NULL for the defaults. PYNORI_BUSY when it is open already: the message names the process. PYNORI_NOT_FOUND
 * with PYNORI_MUST_EXIST when there is none. */
static inline int pynori_open(const char *path, const pynori_options *options, pynori_database **database,
                              pynori_error *error) {
    return pynori_table->open(path, options, database, error);
}

/* PYNORI_BUSY while batches, snapshots or calls are open; then the database stays open. After anything else it is gone. */
static inline int pynori_close(pynori_database *database, pynori_error *error) {
    return pynori_table->close(database, error);
}

/* Write what is committed to its place in the data file now; it happens by itself too. */
static inline int pynori_checkpoint(pynori_database *database, pynori_error *error) {
    return pynori_table->checkpoint(database, error);
}

static inline int pynori_read_counters(pynori_database *database, pynori_counters *counters, pynori_error *error) {
    return pynori_table->counters(database, counters, error);
}

static inline int pynori_get(pynori_database *database, const char *id, size_t id_size, pynori_document *document,
                             pynori_error *error) {
    return pynori_table->get(database, id, id_size, document, error);
}

/* Durable when it returns; calls of several threads share commits.
 * id: ending in '/', a number is put behind it; empty, a GUID takes its place: the result tells.
 * json: an object; its collection is "@metadata":{"@collection":"..."}.
 * expected: a change vector that the document must have; NULL: do not care; of size 0: it must not exist.
 * result: may be NULL. */
static inline int pynori_put(pynori_database *database, const char *id, size_t id_size, const char *json,
                             size_t json_size, const char *expected, size_t expected_size, pynori_document *result,
                             pynori_error *error) {
    return pynori_table->put(database, id, id_size, json, json_size, expected, expected_size, result, error);
}

/* Deleting what is not there succeeds, unless a change vector is expected. */
static inline int pynori_delete(pynori_database *database, const char *id, size_t id_size, const char *expected,
                                size_t expected_size, pynori_document *result, pynori_error *error) {
    return pynori_table->remove(database, id, id_size, expected, expected_size, result, error);
}

/* Several writes as one transaction, all or nothing: begin, put and delete, commit, read results, end. A command that is
 * refused when it is added leaves the batch as it was. Ended without a commit, nothing is written. */
static inline int pynori_batch_begin(pynori_database *database, pynori_batch **batch, pynori_error *error) {
    return pynori_table->batch_begin(database, batch, error);
}

static inline int pynori_batch_put(pynori_batch *batch, const char *id, size_t id_size, const char *json,
                                   size_t json_size, const char *expected, size_t expected_size,
                                   pynori_error *error) {
    return pynori_table->batch_put(batch, id, id_size, json, json_size, expected, expected_size, error);
}

static inline int pynori_batch_delete(pynori_batch *batch, const char *id, size_t id_size, const char *expected,
                                      size_t expected_size, pynori_error *error) {
    return pynori_table->batch_remove(batch, id, id_size, expected, expected_size, error);
}

static inline int pynori_batch_commit(pynori_batch *batch, pynori_error *error) {
    return pynori_table->batch_commit(batch, error);
}

/* What the command at `position` did, after a successful commit. */
static inline int pynori_batch_result(pynori_batch *batch, size_t position, pynori_document *result,
                                      pynori_error *error) {
    return pynori_table->batch_result(batch, position, result, error);
}

static inline void pynori_batch_end(pynori_batch *batch) { pynori_table->batch_end(batch); }

/* One moment of the database for reads that have to agree. While it is open, old pages stay in memory. */
static inline int pynori_snapshot_begin(pynori_database *database, pynori_snapshot **snapshot, pynori_error *error) {
    return pynori_table->snapshot_begin(database, snapshot, error);
}

static inline int pynori_snapshot_get(pynori_snapshot *snapshot, const char *id, size_t id_size,
                                      pynori_document *document, pynori_error *error) {
    return pynori_table->snapshot_get(snapshot, id, id_size, document, error);
}

/* PYNORI_BUSY while scans of it are open. */
static inline int pynori_snapshot_end(pynori_snapshot *snapshot, pynori_error *error) {
    return pynori_table->snapshot_end(snapshot, error);
}

/* options: NULL for all documents by id. Texts are copied. */
static inline int pynori_scan_begin(pynori_snapshot *snapshot, const pynori_scan_options *options, pynori_scan **scan,
                                    pynori_error *error) {
    return pynori_table->scan_begin(snapshot, options, scan, error);
}

/* PYNORI_NOT_FOUND after the last one. */
static inline int pynori_scan_next(pynori_scan *scan, pynori_document *document, pynori_error *error) {
    return pynori_table->scan_next(scan, document, error);
}

static inline void pynori_scan_end(pynori_scan *scan) { pynori_table->scan_end(scan); }

static inline void pynori_document_release(pynori_document *document) { pynori_table->document_release(document); }

#ifdef PYNORI_IMPLEMENTATION
#include "pynori_start.h"
#endif

#ifdef __cplusplus
}
#endif
#endif
