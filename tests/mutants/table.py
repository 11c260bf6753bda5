"""Planted bugs of the durability code: what each changes, and, for those that may live, why.

The production source stays as it is; `ci/mutants` changes a copy. A mutant is found when a crash image, or one of the
engine's quick tests, fails. A mutant that lives because another defence covers for it stands here twice: alone, with the
reason in `lives`, and together with that defence as a pair, which must be found.
"""

# ruff: noqa: E501  (quoted source is quoted as it is)

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement; `old` occurs exactly once in the module."""

    module: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug. `lives`: why it cannot be found, empty when it must be."""

    name: str
    edits: tuple[Edit, ...]
    lives: str = ""


def one(name: str, module: str, old: str, new: str, lives: str = "") -> Mutant:
    return Mutant(name, (Edit(module, old, new),), lives)


NO_CHAIN = Edit(
    "recovery",
    "if header.previous_hash != recovery.chain or not record_sizes_valid(header):",
    "if not record_sizes_valid(header):",
)
NO_NUMBER = Edit("recovery", " or header.journal != recovery.reader.number:", ":")
NO_CONTIGUITY = Edit("recovery", "    return header.txn_id == recovery.last_txn + 1\n", "    return True\n")
NO_ZERO_TAIL = Edit("recovery", "    if recovery.tail_clean:\n        return OK\n    zeros", "    return OK\n    zeros")
NO_PAYLOAD_HASH = Edit(
    "record",
    "    return low == header.payload_hash_low and high == header.payload_hash_high\n",
    "    return True\n",
)

JOURNAL = (
    one("acknowledge before the sync", "journal", "    if result == 0 and not file.durable:\n", "    if False:\n"),
    one(
        "record written before its header hash is set", "journal",
        "    header.header_hash = record_header_hash(header)\n    memcpy(record, header, sizeof(RecordHeader))\n",
        "    memcpy(record, header, sizeof(RecordHeader))\n    header.header_hash = record_header_hash(header)\n",
    ),
    one("chain not carried on", "journal", "    journal.chain = header.header_hash\n", ""),
    one("chain not taken up on resuming", "journal", "    journal.chain = chain\n", ""),
    one("resumed at the start", "journal", "    journal.offset = offset\n    journal.chain", "    journal.chain"),
    one(
        "end of a full journal not marked", "journal",
        "    result = append_bytes(journal, &header, journal.marker, error)\n", "    result = OK\n",
    ),
    one("roll does not go to the start", "journal", "    journal.following = NULL\n    journal.offset = 0\n",
        "    journal.following = NULL\n"),
    one("new journal's name not durable", "journal", "    if result == 0 and sync:\n", "    if False:\n"),
    one(
        "new journal not synced", "journal",
        "    if result == 0:\n        result = journal.disk.sync(file, DISK_SYNC_FULL)\n", "",
    ),
    one("needed journal recycled", "journal", "link[0].number >= number:", "link[0].number > number:"),
    one("journal in use recycled as a spare", "journal", "    while link[0] != NULL and link[0].number >= number:\n",
        "    while link[0] != NULL and link[0].number > number + 1:\n"),
    one("offset does not move", "journal", "    journal.offset += size_bytes\n", ""),
    one("record may fill the last sector", "journal",
        "    return file.size_bytes - offset - SECTOR_SIZE if", "    return file.size_bytes - offset if"),
    one("spare of any size taken", "journal",
        "    while link[0] != NULL and link[0].size_bytes < size_bytes:\n        link = &link[0].next\n    entry = link[0]\n"
        "    if entry != NULL:\n        link[0] = entry.next\n        entry.next = NULL\n",
        "    entry = link[0]\n    if entry != NULL:\n        link[0] = entry.next\n        entry.next = NULL\n"
        "        entry.size_bytes = size_bytes\n",
        lives="a journal that is too short grows with the record that needs more; what is lost is that commits change no "
        "metadata"),
    one("journal's number wrong in its records", "journal", "    header.journal = journal.current.number\n",
        "    header.journal = journal.current.number & 1\n"),
)

RECORD = (
    Mutant("checksum of the first sector only", (
        Edit("record", "    hash128(stored, header.stored_size, 0, &low, &high)\n",
             "    hash128(stored, header.stored_size if header.stored_size < 3968 else 3968, 0, &low, &high)\n"),
        Edit("record", "    hash128(payload, header.stored_size, 0, &header",
             "    hash128(payload, header.stored_size if header.stored_size < 3968 else 3968, 0, &header"),
    )),
    Mutant("payload hash unchecked", (NO_PAYLOAD_HASH,)),
    one("header hash unchecked", "record", "        and header.header_hash == record_header_hash(header)\n",
        "        and header.header_hash != 0\n"),
    one("diff against a page from before the checkpoint", "record",
        "                or older.logged_whole <= whole_limit:\n", "                or older.logged_whole == 0:\n"),
    one("diff against a page of the checkpoint itself", "record", "or older.logged_whole <= whole_limit:",
        "or older.logged_whole < whole_limit:"),
    one("what lay in the gap is taken as known", "record",
        "        unknown_start = base_header.lower\n        unknown_end = base_header.upper\n",
        "        unknown_start = PAGE_SIZE\n"),
    one("front of a page not logged", "record",
        "        encode_span(writer, base, unknown_start, unknown_end, HASH_SIZE, header.lower)\n", ""),
    one("back of a page logged too short", "record", "header.upper, PAGE_SIZE)\n    else:",
        "header.upper + 8, PAGE_SIZE)\n    else:"),
    one("inner pages of runs not logged", "record", "    if end > offset:\n", "    if end > offset and offset == 0:\n"),
    one("last page of a run not logged", "record", "    if end > offset:\n", "    if end > offset + PAGE_SIZE or offset == 0:\n"),
    one("whole image laid over what was there", "record", "    if cursor.flags & ENTRY_WHOLE:\n        memset(image",
        "    if False:\n        memset(image"),
    one("joined ranges leave the bytes between out", "record",
        "            memcpy(writer.position, writer.image + last_end, end - last_end)\n",
        "            memcpy(writer.position + (start - last_end), writer.image + start, end - start)\n"),
    one("whole image said to be an older one's", "record",
        "            version.logged_whole = older.logged_whole\n",
        "            version.logged_whole = version.txn_id\n",
        lives="the limit is set between two transactions: a difference and the image it rests on lie on the same side of it"),
    one("noted changes take the place of those before", "scratch",
        "    notes[first].end = <uint16_t>end if notes[after - 1].end < end else notes[after - 1].end\n",
        "    notes[first].end = <uint16_t>end\n"),
    one("notes that are full forget", "scratch", "            version.note_count = NOTES_ALL\n            return\n",
        "            return\n"),
    one("what a savepoint keeps is not noted", "txn", "        version.note_count = before.note_count\n",
        "        version.note_count = 0\n"),
    one("changes of unknown place taken for noted ones", "txn", "    version.note_count = NOTES_ALL\n", ""),
    one("last noted range not logged", "record", "    for index in range(version.note_count):\n        compare_blocks",
        "    for index in range(version.note_count - 1):\n        compare_blocks"),
    one("found leaf counts after pages moved", "txn", "    txn.stamp += 1\n    env.writer.allocation.free_pages += run_pages\n",
        "    env.writer.allocation.free_pages += run_pages\n"),
    one("block's last byte not compared", "record",
        "        if memcmp(image + start, base + start, stop - start) != 0:\n            first = start\n",
        "        if memcmp(image + start, base + start, stop - start - 1) != 0:\n            first = start\n"),
)

RECOVERY = (
    Mutant("chain unchecked", (NO_CHAIN,),
           lives="transaction numbers, journal numbers and the zeroed tail each keep old records out as well"),
    Mutant("transaction numbers unchecked", (NO_CONTIGUITY,), lives="the chain says the same"),
    Mutant("journal's number unchecked", (NO_NUMBER,), lives="the chain says the same"),
    Mutant("chain and numbers unchecked", (NO_CHAIN, NO_NUMBER, NO_CONTIGUITY)),
    Mutant("tail not zeroed", (NO_ZERO_TAIL,), lives="the chain keeps what lies behind the break out"),
    Mutant("tail not zeroed and chain unchecked", (NO_ZERO_TAIL, NO_CHAIN),
           lives="the numbers of transactions and journals still keep old records out"),
    Mutant("tail not zeroed, chain and numbers unchecked", (NO_ZERO_TAIL, NO_CHAIN, NO_CONTIGUITY, NO_NUMBER)),
    one("zeroed tail not synced", "recovery",
        "    if result == 0:\n        result = env.disk.sync(file, DISK_SYNC_DATA)\n", "",
        lives="the chain keeps what lies behind the break out, zeroed or not"),
    one("break in a journal with a torn tail left out", "recovery",
        "        if recovery.last_txn == env.header.checkpoint_txn and recovery.tail_clean:\n",
        "        if recovery.last_txn == env.header.checkpoint_txn:\n",
        lives="the next record is written over the torn one, and the chain keeps what is left of it out"),
    one("header before the images are durable", "recovery",
        "    if result == OK:\n        result = pager_sync(&env.pager, error)\n    if result == OK:\n        result = zero_tail",
        "    if result == OK:\n        result = zero_tail"),
    one("later journals stay", "recovery", "    if result == OK:\n        result = remove_later(recovery, error)\n", "",
        lives="a journal that is due replaces one of its name, and the chain keeps what the others hold out"),
    one("removed journals not durably removed", "recovery", "            removed = True\n", "            removed = False\n",
        lives="one that comes back is removed again, and the chain keeps what it holds out"),
    one("new journal after recovery not durable", "recovery",
        "recovery.reader.number + 1, size_bytes, True, error)", "recovery.reader.number + 1, size_bytes, False, error)"),
    one("images forgotten before they are written", "recovery",
        "    cdef int result = flush_versions(env, UINT64_MAX, &pages, error)\n", "    cdef int result = OK\n"),
    one("user transaction number not replayed", "recovery", "        recovery.user_txn = header.user_txn_last\n",
        "        pass\n"),
    one("length of the file not replayed", "recovery", "    recovery.file_pages = header.file_pages\n    if header",
        "    if header"),
    one("file not grown for its records", "recovery", "    return pager_grow(&env.pager, pages, error)\n", "    return OK\n"),
    one("torn record taken for damage", "recovery",
        "    return not (reader == &recovery.reader and offset == recovery.offset\n",
        "    return not (False and offset == recovery.offset\n"),
    one("damage taken for a torn tail", "recovery", "    if result != OK or found_txn == 0:\n        return result\n",
        "    if result != OK or found_txn != 0:\n        return result\n    return OK\n"),
    one("missing journal taken for the end", "recovery",
        "        return E_CORRUPT\n    if result != OK:\n        error[0] = cause\n",
        "        return OK\n    if result != OK:\n        error[0] = cause\n"),
    one("chain of a full journal not carried on", "recovery",
        "            recovery.chain = header.header_hash\n            recovery.offset = 0\n",
        "            recovery.offset = 0\n"),
    one("new journal does not continue the chain", "recovery", "    env.journal.chain = recovery.chain\n", ""),
    one("header names the journal that was cut", "recovery",
        "    header.journal_first = recovery.reader.number + 1\n", "    header.journal_first = recovery.reader.number\n"),
    one("inner pages of runs not replayed", "recovery",
        "            return E_CORRUPT\n        record_apply(cursor, version.data)\n        return OK\n    if cursor.flags",
        "            return E_CORRUPT\n        return OK\n    if cursor.flags"),
    one("large records left out of the replay", "recovery",
        "        if header.txn_id > recovery.limit_txn:\n            return OK\n",
        "        if header.txn_id > recovery.limit_txn or header.page_count > 20:\n            return OK\n"),
)

CHECKPOINT = (
    one("header before the data is durable", "checkpoint",
        "    result = pager_sync(&env.pager, error)\n    if result == OK:\n        result = read_back_roots",
        "    result = OK\n    if result == OK:\n        result = read_back_roots"),
    one("journals recycled before the header", "checkpoint",
        "    cdef int result = flush_versions(env, header.checkpoint_txn, pages, error)\n",
        "    journal_recycle(&env.journal, header.journal_first)\n"
        "    cdef int result = flush_versions(env, header.checkpoint_txn, pages, error)\n"),
    one("pages newer than the checkpoint written", "checkpoint",
        "    while version != NULL and version.txn_id > limit:\n", "    while False:\n"),
    one("end of the journal noted late", "checkpoint",
        "    result = pager_sync(&env.pager, error)\n    if result == OK:\n        result = read_back_roots",
        "    result = pager_sync(&env.pager, error)\n    header.journal_offset = env.journal.offset\n"
        "    header.journal_chain = env.journal.chain\n    header.journal_first = env.journal.current.number\n"
        "    header.checkpoint_txn = env.published_txn\n    if result == OK:\n        result = read_back_roots"),
    one("first change after a checkpoint not logged whole", "checkpoint",
        "        env.whole_limit = env.published_txn\n", ""),
    one("whole images asked for too late", "checkpoint",
        "            atomic_store64(&env.checkpoint_txn, header.checkpoint_txn)\n",
        "            atomic_store64(&env.checkpoint_txn, header.checkpoint_txn)\n"
        "            env.whole_limit = env.published_txn\n",
        lives="a later limit only asks for more whole images; the early one stays in force"),
    Mutant("whole images asked for after the pages are written", (
        Edit("checkpoint", "        env.whole_limit = env.published_txn\n", ""),
        Edit("checkpoint", "            atomic_store64(&env.checkpoint_txn, header.checkpoint_txn)\n",
             "            atomic_store64(&env.checkpoint_txn, header.checkpoint_txn)\n"
             "            env.whole_limit = env.published_txn\n"),
    )),
    one("user transaction number not in the header", "checkpoint",
        "        header.user_txn = env.published_user_txn\n", ""),
    one("length of the file not in the header", "checkpoint", "        header.file_pages = env.published_file_pages\n", ""),
    one("old readers not waited for", "checkpoint", "    while scratch_oldest_epoch(&env.scratch) < epoch:\n",
        "    while False:\n"),
    one("last page of a batch not written", "checkpoint",
        "    cdef int result = pager_write(&env.pager, writes, count, error)\n",
        "    cdef int result = pager_write(&env.pager, writes, count - 1 if count > 3 else count, error)\n"),
    one("written pages kept as dirty without their image", "checkpoint",
        "                and compare_swap_pointer(scratch_slot(&env.scratch, page), version, NULL):\n",
        "                and version.older == NULL:\n"),
)

PAGER = (
    one("one header copy only", "pager",
        "    cdef uint64_t which = PAGE_HEADER_B if header.sequence & 1 else PAGE_HEADER_A\n",
        "    cdef uint64_t which = PAGE_HEADER_A\n"),
    one("header copy by parity of the transaction", "pager",
        "    cdef uint64_t which = PAGE_HEADER_B if header.sequence & 1 else PAGE_HEADER_A\n",
        "    cdef uint64_t which = PAGE_HEADER_B if header.checkpoint_txn & 1 else PAGE_HEADER_A\n"),
    one("header copies not synced", "pager",
        "    if result == OK:\n        result = pager_sync(pager, error)\n    if result == OK:\n        result = pager_read_header",
        "    if result == OK:\n        result = pager_read_header"),
    one("torn header taken", "pager", "    return header.magic == MAGIC_FILE and header.hash == header_hash(header)\n",
        "    return header.magic == MAGIC_FILE\n"),
    one("second copy of the header not written", "pager",
        "    if result == OK:\n        header.sequence += 1\n        result = store_copy(pager, header, error)\n", ""),
    one("page hashes unchecked", "pager",
        "    if header.hash != hash64(data + 8, PAGE_SIZE - 8, page_seed(pager, page)):\n", "    if False:\n"),
    one("hash of another page number", "pager",
        "    return pager.hash_seed ^ (page * 0x9E3779B97F4A7C15ULL)\n",
        "    return pager.hash_seed\n",
        lives="no crash puts a page in another's place, and the number that it carries would tell as well"),
    one("file not lengthened", "pager", "    result = pager.disk.allocate(pager.file, target << PAGE_SHIFT)\n    if result != 0 and",
        "    result = 0\n    if result != 0 and"),
    one("neighbours written to the first one's place", "pager",
        "        result = pager.disk.write(pager.file, vectors, used, writes[first].page << PAGE_SHIFT)\n        if result != 0:\n",
        "        result = pager.disk.write(pager.file, vectors, used, writes[0].page << PAGE_SHIFT)\n        if result != 0:\n"),
)

ENV = (
    one("new environment not synced", "env",
        "        failed = env.disk.sync(env.pager.file, DISK_SYNC_FULL)\n", "        failed = 0\n"),
    one("first journal's name not durable", "env", "journal_start(&env.journal, 1, JOURNAL_BYTES_FIRST, True, error)",
        "journal_start(&env.journal, 1, JOURNAL_BYTES_FIRST, False, error)"),
    one("user transaction number not published", "env",
        "        atomic_store64(&env.published_user_txn, sealed.user_txn_last)\n", "        pass\n"),
    one("length of the file not in the record", "env", "    header.file_pages = sealed.file_pages\n",
        "    header.file_pages = env.header.file_pages\n"),
    one("allocation forgotten after a commit", "env", "    env.sealed = env.writer.allocation\n", ""),
    one("failed record acknowledged", "env", "        outcome.offset = cause.offset\n        return E_UNKNOWN_OUTCOME\n",
        "        outcome.offset = cause.offset\n        outcome.code = OK\n        return OK\n"),
    one("writes go on after a failed sync", "env", "            env_poison(env, &outcome)\n", "            pass\n"),
    one("sealed transactions written in reverse", "env",
        "    entry = &env.queue[(env.queue_first + env.queue_count) % SEALED_MAX]\n    entry[0] = sealed[0]\n",
        "    entry = &env.queue[(env.queue_first + env.queue_count) % SEALED_MAX]\n"
        "    if env.queue_count != 0:\n        entry[0] = env.queue[env.queue_first]\n"
        "        entry = &env.queue[env.queue_first]\n    entry[0] = sealed[0]\n"),
    one("told before it is written", "env",
        "    if outcome.code == OK:\n        if write_record(env, &sealed, &outcome) == OK:\n",
        "    if sealed.done != NULL:\n        sealed.done[0] = True\n    if outcome.code == OK:\n"
        "        if write_record(env, &sealed, &outcome) == OK:\n",
        lives="the caller that is told is the thread that writes, so it looks only afterwards"),
)

TXN = (
    one("page of before a savepoint changed in place", "txn",
        "            if not (env.writer.savepoint_active and version.savepoint < env.writer.savepoint):\n",
        "            if True:\n"),
    one("rollback keeps the allocation", "txn", "    writer.allocation = writer.savepoint_allocation\n", ""),
    one("freed pages stay used", "txn",
        "    if not bitmap_change(bitmap, <uint32_t>(page % BITMAP_PAGES), run_pages, False):\n", "    if False:\n"),
    one("freed page's image goes to the data file", "txn",
        "    version = new_version(txn, page, VERSION_FREED)\n    return version != NULL and push_version(txn, version)\n",
        "    return True\n"),
    one("allocated pages not marked", "txn",
        "    if not bitmap_change(bitmap, <uint32_t>(found % BITMAP_PAGES), run_pages, True):\n", "    if False:\n"),
    one("undone pages not unlinked", "txn", "        unlink_version(env, version)\n        scratch_drop_data(&env.scratch, version)\n        last",
        "        scratch_drop_data(&env.scratch, version)\n        last"),
    one("changed page not dirty", "txn", "        scratch_mark_dirty(&env.scratch, version.page)\n", "        pass\n"),
    one("released savepoint drops the newer image", "txn",
        "            scratch_drop_data(&env.scratch, version.older)\n            env.writer.touched_pages -= 1\n",
        "            scratch_drop_data(&env.scratch, version)\n            env.writer.touched_pages -= 1\n"),
    one("new page keeps the old one's diff base", "txn", "    version = new_version(txn, page, VERSION_FRESH)\n",
        "    version = new_version(txn, page, 0)\n",
        lives="the mark that freed the page lies below it, and what lies above such a mark is logged whole too"),
    Mutant("new page is a diff against a freed one", (
        Edit("txn", "    version = new_version(txn, page, VERSION_FRESH)\n", "    version = new_version(txn, page, 0)\n"),
        Edit("txn", "    version = new_version(txn, page, VERSION_FREED)\n    return version != NULL and push_version(txn, version)\n",
             "    return True\n"),
    )),
)

REST = (
    one("run of free pages one too short", "freespace",
        "    return bit if bit + count <= end and position - bit >= count else FREESPACE_NONE\n",
        "    return bit if bit + count <= end + 1 and position - bit + 1 >= count else FREESPACE_NONE\n"),
    one("bits of the neighbours cleared", "freespace",
        "            words[position >> 6] &= ~mask\n", "            words[position >> 6] &= ~(mask | mask << 1)\n"),
    one("dirty pages of every other word passed over", "scratch",
        "        page = (page & ~<uint64_t>63) + 64\n    return UINT64_MAX", "        page = (page & ~<uint64_t>63) + 128\n    return UINT64_MAX"),
    one("dirty mark lost when the page changes meanwhile", "scratch",
        "    if <uint64_t>atomic_load_pointer(slot) > SLOT_VERIFIED:\n        scratch_mark_dirty(scratch, page)\n",
        "    if <uint64_t>atomic_load_pointer(slot) > SLOT_VERIFIED:\n        pass\n"),
    one("a run's memory given back with its first page", "scratch", "    run.references -= 1\n", "    run.references = 0\n"),
    one("refused batch leaves its first commands", "merger", "    cdef bint several = user.command_count > 1\n",
        "    cdef bint several = False\n"),
    one("counters not written with the commit", "merger",
        "        code = writer_flush(merger.writer)\n    if code != OK:\n        merger.next_user_txn = first\n",
        "        code = OK\n    if code != OK:\n        merger.next_user_txn = first\n"),
    one("state of the refused batch kept", "merger",
        "        return writer_reload(writer) if code == OK else code\n", "        return code\n"),
)

VERSIONS = (
    one("versions stay alive after their conflict", "row_writes",
        "            code = version_retire(writer, etags[index])\n    writer.state.conflicts -= 1\n",
        "            code = OK\n    writer.state.conflicts -= 1\n"),
    one("a collection is not told of a conflict", "versions",
        "        writer.state.conflicts += 1\n        code = subject_depart(writer, subject)\n",
        "        writer.state.conflicts += 1\n"),
    one("what is known of others not written with the commit", "row_writes",
        "        code = known_write(&writer.tables, writer.known, writer.known_count)\n", "        code = OK\n"),
    one("what the sender had seen is not kept for later writes", "writes",
        "    count = vector_merge(writer.vector, count, VECTOR_ENTRIES_MAX - 1, writer.known, writer.known_count)\n",
        "    pass\n"),
    one("what was made by a rule is taken for known", "item_frames",
        "    if item.header.flags & ITEM_RESOLVED or item.header.kind == ITEM_CONFLICT:\n",
        "    if item.header.kind == ITEM_CONFLICT:\n"),
    one("versions in conflict are taken for known", "item_frames",
        "    if item.header.flags & ITEM_RESOLVED or item.header.kind == ITEM_CONFLICT:\n",
        "    if item.header.flags & ITEM_RESOLVED:\n"),
    one("dropped deletions come back as documents", "versions",
        "    if not same and (count == 0 or not arriving.flags & ITEM_RESOLVED) and was_dropped(writer, arriving):\n",
        "    if False:\n"),
    one("of equal vectors the first one stays", "versions",
        "version_order(writer, command, arriving, here) <= 0):\n", "True):\n"),
)

SETS = (
    one("dead rows are members of their home", "table", "            members[word] &= load64(alive.data + 8 * word)\n",
        "            pass\n"),
    one("cleaned rows stay in their home", "table", "    code = homes_leave(table, group, &homes)\n", "    code = OK\n"),
    one("homes beyond the eighth are forgotten", "table",
        "        code = homes_leave(table, row_id >> SET_GROUP_SHIFT, homes)\n        index = 0\n",
        "        homes.count = 0\n        index = 0\n"),
    one("a deleted row stays in its home", "table",
        "        code = set_clear(table, home, row_id >> SET_GROUP_SHIFT, members)\n", "        code = OK\n"),
)

MUTANTS: tuple[Mutant, ...] = (*JOURNAL, *RECORD, *RECOVERY, *CHECKPOINT, *PAGER, *ENV, *TXN, *REST, *VERSIONS, *SETS)
