"""What `pynori inspect` prints: headers, journals, pages, trees and documents, decoded as far as possible.

Headers and journals are read as bytes, so that a damaged environment can be looked at, and one that is open. Pages,
trees and documents come from a transaction over the environment opened for reading only. Nothing is ever written.
"""

import os
import textwrap

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from pynori_core.blittable cimport blittable_validate
from pynori_core.btree cimport Value, tree_get64
from pynori_core.change_vector cimport VECTOR_ENTRIES_MAX, VECTOR_TEXT_MAX, VectorEntry, vector_format
from pynori_core.checksum cimport hash64
from pynori_core.conflicts cimport CONFLICT_VERSIONS_MAX, conflict_read
from pynori_core.disk cimport DiskHandle
from pynori_core.errors cimport E_NOT_FOUND, OK, ErrorDetail, error_clear, error_set, raise_error
from pynori_core.format cimport (
    JOURNAL_FLAG_LZ4, JOURNAL_FLAG_NEXT, LEAF_RUN, MAGIC_FILE, PAGE_HEADER_A, PAGE_HEADER_B, PAGE_SHIFT, PAGE_SIZE,
    PAGE_TYPE_BITMAP, PAGE_TYPE_BRANCH, PAGE_TYPE_CATALOG, PAGE_TYPE_LEAF, PAGE_TYPE_RUN, SECTOR_SIZE, BranchEntry,
    FileHeader, LeafEntry, PageHeader, RecordHeader, RunReference, TreeHeader, catalog_tree,
)
from pynori_core.freespace cimport bitmap_count_used
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.journal cimport journal_number
from pynori_core.json cimport MetadataOverlay, json_write_document
from pynori_core.output cimport Output, output_init, output_release
from pynori_core.record cimport record_header_valid, record_payload_valid, record_size, record_sizes_valid
from pynori_core.slotted cimport branch_entry, branch_key, leaf_entry, leaf_key, leaf_value, page_sound
from pynori_core.table cimport IndexEntry, table_find
from pynori_core.tables cimport (
    INDEX_ID, ITEM_CONFLICT, ITEM_DOCUMENT, ITEM_TOMBSTONE, Cover, DocumentTables, Item, flags_words, item_decode,
    item_vector, tables_open,
)
from pynori_core.timestamp cimport TIMESTAMP_TEXT_SIZE, timestamp_format
from pynori_core.txn cimport Transaction

from pynori_core.env import Env
from pynori_core.errors import CorruptError, NotFound

PREVIEW_SIZE = 64                  # bytes of a key or value that are shown
LINES_MAX = 100_000                # entries of a tree or journal that are printed

TYPE_NAMES = {
    0: "free", PAGE_TYPE_CATALOG: "catalog", PAGE_TYPE_BITMAP: "bitmap", PAGE_TYPE_BRANCH: "branch",
    PAGE_TYPE_LEAF: "leaf", PAGE_TYPE_RUN: "run",
}


# Headers.

def header(directory):
    """Lines about both copies of the file header; the one that counts is marked."""
    cdef bytes content
    cdef const FileHeader* copy
    disk = DiskHandle(os.fspath(directory))
    copies = []
    for name, page in (("A", PAGE_HEADER_A), ("B", PAGE_HEADER_B)):
        content = disk.read("data.pynori", <uint64_t>page << PAGE_SHIFT, SECTOR_SIZE)
        copy = <const FileHeader*><const char*>content
        whole = copy.magic == MAGIC_FILE and copy.hash == hash64(copy, sizeof(FileHeader) - 8, 0)
        copies.append((name, page, content, whole, copy.sequence))
    newest = max((entry[4] for entry in copies if entry[3]), default=None)
    for name, page, content, whole, sequence in copies:
        state = "not whole" if not whole else "counts" if sequence == newest else "older"
        yield f"copy {name} at offset {page << PAGE_SHIFT}: {state}"
        copy = <const FileHeader*><const char*>content
        if copy.magic == MAGIC_FILE:
            yield from header_lines(content)


def header_lines(bytes content not None):
    cdef const FileHeader* copy = <const FileHeader*><const char*>content
    yield f"  format version     {copy.version}"
    yield (f"  features           compatible 0x{copy.features_compatible:x}, read only 0x{copy.features_read_only:x}, "
           f"incompatible 0x{copy.features_incompatible:x}")
    yield f"  environment id     {copy.env_id[:16].hex()}"
    yield f"  sequence           {copy.sequence}"
    yield f"  checkpoint         transaction {copy.checkpoint_txn}, user transaction {copy.user_txn}"
    yield (f"  journal            from {copy.journal_first:016x}, offset {copy.journal_offset}, "
           f"chain {copy.journal_chain:016x}")
    yield f"  data file          {copy.file_pages} pages of {copy.page_size} bytes"
    yield f"  created            {copy.created_ms} ms Unix time"


# Journals.

def journal(directory):
    """A line for each record in each journal, in order; says what is damaged, foreign, or left over."""
    disk = DiskHandle(os.fspath(directory))
    env_id = environment_id(disk)
    cdef uint64_t number = 0
    for name in disk.names():
        if journal_number(name.encode(), &number):
            yield f"{name}: {disk.size(name)} bytes"
            yield from journal_records(disk, name, number, env_id)


def environment_id(DiskHandle disk not None):
    cdef bytes content
    cdef const FileHeader* copy
    for page in (PAGE_HEADER_A, PAGE_HEADER_B):
        content = disk.read("data.pynori", <uint64_t>page << PAGE_SHIFT, SECTOR_SIZE)
        copy = <const FileHeader*><const char*>content
        if copy.magic == MAGIC_FILE and copy.hash == hash64(copy, sizeof(FileHeader) - 8, 0):
            return copy.env_id[:16]
    raise CorruptError("data.pynori: neither copy of the header is whole")


def journal_records(DiskHandle disk not None, str name not None, uint64_t number, bytes env_id not None):
    cdef uint64_t size_bytes = disk.size(name)
    cdef uint64_t offset = 0
    cdef uint64_t chain = 0
    cdef const RecordHeader* record
    cdef bytes content
    while offset + SECTOR_SIZE <= size_bytes:
        content = disk.read(name, offset, SECTOR_SIZE)
        record = <const RecordHeader*><const char*>content
        if not record_header_valid(record, <const uint8_t*><const char*>env_id) or not record_sizes_valid(record):
            yield f"  {offset:>10}  " + ("zeros" if not any(content) else "no header of this environment")
            return
        notes = []
        if record.journal != number:
            notes.append(f"left over from journal {record.journal:016x}")
        if offset != 0 and record.previous_hash != chain:
            notes.append("does not continue the chain")
        if record.flags & JOURNAL_FLAG_NEXT:
            notes.append("full, the next journal follows")
        elif not payload_whole(disk, name, offset, content):
            notes.append("PAYLOAD DAMAGED")
        yield (f"  {offset:>10}  transaction {record.txn_id}, user {record.user_txn_first}-{record.user_txn_last}, "
               f"{record.page_count} pages, {record.stored_size} bytes"
               + (f" of {record.plain_size} (LZ4)" if record.flags & JOURNAL_FLAG_LZ4 else "")
               + f", hash {record.header_hash:016x}" + "".join(f"; {note}" for note in notes))
        chain = record.header_hash
        offset += record_size(record.stored_size)


def payload_whole(DiskHandle disk not None, str name not None, uint64_t offset, bytes first not None):
    cdef const RecordHeader* record = <const RecordHeader*><const char*>first
    cdef bytes whole
    if offset + record_size(record.stored_size) > <uint64_t>disk.size(name):
        return False
    whole = disk.read(name, offset, record_size(record.stored_size))
    return record_payload_valid(record, <const uint8_t*><const char*>whole + sizeof(RecordHeader))


# Pages.

def page(directory, uint64_t number):
    """Lines about one page as of the last transaction; if it does not verify, as it lies in the data file."""
    cdef bytes content
    try:
        with Env.open(directory, read_only=True) as env, env.read() as txn:
            content = txn.page(number)
    except CorruptError as error:
        yield f"not to be trusted: {error}"
        content = DiskHandle(os.fspath(directory)).read("data.pynori", number << PAGE_SHIFT, PAGE_SIZE)
    yield from page_lines(content)


def page_lines(bytes content not None):
    cdef const uint8_t* data = <const uint8_t*><const char*>content
    cdef const PageHeader* top = <const PageHeader*>data
    yield (f"page {top.page}: {TYPE_NAMES.get(top.type, 'unknown type')} {top.type}, transaction {top.txn_id}, "
           f"tree {top.tree}, level {top.level}, hash {top.hash:016x}")
    if top.type == PAGE_TYPE_LEAF or top.type == PAGE_TYPE_BRANCH:
        yield f"{top.count} entries, lower {top.lower}, upper {top.upper}, holes {top.holes}, link {top.link}"
        if page_sound(data, top.page, top.tree, top.level):
            yield from slot_lines(content)
        else:
            yield "its slots make no sense"
    elif top.type == PAGE_TYPE_CATALOG:
        yield f"{top.count} trees, next page {top.link}"
        yield from catalog_lines(content)
    elif top.type == PAGE_TYPE_BITMAP:
        yield f"{bitmap_count_used(data, 65024)} of 65024 pages used"
    elif top.type == PAGE_TYPE_RUN:
        yield f"{top.run_pages} pages, a value of {top.value_size} bytes: {preview(content[64:64 + top.value_size])}"
    else:
        yield from textwrap.wrap(content[:256].hex(), 64)


def slot_lines(bytes content not None):
    cdef const uint8_t* data = <const uint8_t*><const char*>content
    cdef const PageHeader* top = <const PageHeader*>data
    cdef const LeafEntry* leaf
    cdef const BranchEntry* branch
    cdef const RunReference* run
    cdef uint32_t index
    for index in range(top.count):
        if top.type == PAGE_TYPE_LEAF:
            leaf = leaf_entry(data, index)
            key = (<const char*>leaf_key(leaf))[:leaf.key_size]
            if leaf.flags & LEAF_RUN:
                run = <const RunReference*>leaf_value(leaf)
                yield f"  {preview(key)} = run at page {run.page}, {run.size} bytes"
            else:
                value = (<const char*>leaf_value(leaf))[:leaf.value_size]
                yield f"  {preview(key)} = {leaf.value_size} bytes {preview(value)}"
        else:
            branch = branch_entry(data, index)
            yield f"  {preview((<const char*>branch_key(branch))[:branch.key_size])} -> page {branch.child}"


def catalog_lines(bytes content not None):
    cdef const uint8_t* data = <const uint8_t*><const char*>content
    cdef const TreeHeader* tree_header
    cdef uint32_t index
    for index in range(84):
        tree_header = catalog_tree(data, index)
        if tree_header.root != 0:
            name = tree_header.name[:min(tree_header.name_size, 40)].decode("utf-8", "replace")
            yield (f"  {index}: '{name}', root {tree_header.root}, depth {tree_header.depth}, "
                   f"flags {tree_header.flags}, {tree_header.entries} entries, {tree_header.branch_pages} branches, "
                   f"{tree_header.leaf_pages} leaves, {tree_header.run_pages} pages of runs")


def preview(bytes value not None):
    """Text as text, everything else in hexadecimal; both cut short."""
    start = value[:PREVIEW_SIZE]
    dots = "..." if len(value) > PREVIEW_SIZE else ""
    if start.isascii() and all(32 <= byte < 127 for byte in start):
        return f"'{start.decode('ascii')}'{dots}"
    return start.hex() + dots


# Trees and documents.

def tree(directory, str name not None):
    """A tree's counters, then its entries in order, at most LINES_MAX."""
    with Env.open(directory, read_only=True) as env, env.read() as txn:
        view = txn.tree(name.encode())
        for what, count in view.statistics().items():
            yield f"{what}: {count}"
        for index, (key, value) in enumerate(view.items()):
            if index == LINES_MAX:
                yield f"and {len(view) - LINES_MAX} more"
                return
            shown = key if isinstance(key, int) else preview(bytes(key))
            yield f"  {shown} = {len(value)} bytes {preview(bytes(value[:PREVIEW_SIZE + 1]))}"


def document(directory, str id not None):
    """The newest row of a document: where it lies, its change vector, and its JSON."""
    with Env.open(directory, read_only=True) as env, env.read() as txn:
        yield from document_lines(txn, id.encode())


def document_lines(Transaction owner not None, bytes id not None):
    """Of each version, when it is in conflict."""
    cdef DocumentTables tables
    cdef IndexEntry entry
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef size_t key_size = 0
    cdef int count = 1
    cdef int code = OK if 0 < len(id) <= ID_SIZE_MAX else E_NOT_FOUND
    if code == OK:
        key_size = identifier_key(<const uint8_t*><const char*>id, len(id), key)
        code = tables_open(owner.txn, 0, &tables)
    if code == OK:
        code = table_find(&tables.items, INDEX_ID, key, key_size, &entry)
        etags[0] = entry.row_id
    if code == OK and (<Cover*>entry.cover).kind == ITEM_CONFLICT:
        code = conflict_read(&tables, key, key_size, etags, &count)
    if code == E_NOT_FOUND:
        raise NotFound(f"there is no document '{id.decode('utf-8', 'replace')}'")
    if code != OK:
        raise_error(&owner.txn.error)
    return [line for index in range(count) for line in row_lines(owner, &tables, etags[index])]


cdef list row_lines(Transaction owner, DocumentTables* tables, uint64_t etag):
    cdef Value row
    cdef Item item
    cdef VectorEntry vector[VECTOR_ENTRIES_MAX]
    cdef char vector_text[VECTOR_TEXT_MAX]
    cdef char modified[TIMESTAMP_TEXT_SIZE]
    cdef size_t flags_size = 0
    cdef const char* flags
    cdef int count
    cdef int code = tree_get64(&tables.items.rows, etag, &row)
    if code == OK:
        code = item_decode(owner.txn, etag, &row, &item)
    if code != OK:
        error_set(&owner.txn.error, code, b"row %llu is not there", <unsigned long long>etag)
        raise_error(&owner.txn.error)
    timestamp_format(item.header.last_modified, modified)
    count = item_vector(tables, &item, vector)
    flags = flags_words(item.header.flags, &flags_size)
    kind = {ITEM_DOCUMENT: "document", ITEM_TOMBSTONE: "tombstone"}.get(item.header.kind, "version in conflict")
    lines = [
        f"id             {item.id[:item.header.id_size].decode('utf-8', 'replace')}",
        f"kind           {kind}" + (", a deletion" if kind.startswith("version") and item.body_size == 0 else ""),
        f"row            {etag}, page {row.page}, {row.size} bytes",
        f"change vector  {vector_text[:vector_format(vector, count, vector_text)].decode()}",
        f"collection     {item.header.collection}",
        f"last modified  {modified[:TIMESTAMP_TEXT_SIZE].decode()}",
        f"transaction    {item.header.user_txn}",
    ]
    if flags_size:
        lines.append(f"flags          {flags[:flags_size].decode()}")
    if item.body_size != 0:
        lines.append(json_text(item.body, item.body_size))
    return lines


cdef str json_text(const uint8_t* body, size_t size):
    """A blittable document as JSON, after checking it."""
    cdef Output output
    cdef MetadataOverlay overlay
    cdef ErrorDetail error
    cdef int code
    error_clear(&error)
    memset(&overlay, 0, sizeof(overlay))
    code = blittable_validate(body, size, &error)
    if code != OK:
        raise_error(&error)
    output_init(&output, 0)
    try:
        code = json_write_document(&output, body, size, &overlay)
        if code != OK:
            error_set(&error, code, "the document cannot be written as JSON")
            raise_error(&error)
        return (<const char*>output.data)[:output.size].decode("utf-8", "replace")
    finally:
        output_release(&output)
