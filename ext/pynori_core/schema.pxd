"""The names and shapes of the document being built: the part of it that documents of one kind have in common.

The idea: what is here is kept from document to document. A new document starts with `used` at 0; as long as it needs
the same names and shapes in the same order as before, `used` only moves over bytes that are there already. At the first
difference what lies beyond `used` is cut off, and building goes on as for a first document; so the bytes are the same
whatever was built before. An entry belongs to the document if its offset lies below `used`, and is the next one if it
is equal to it.

For JSON text there is a shortcut besides: after one name the next is guessed, and one comparison replaces search and
hash.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pynori_core.bits cimport likely, unlikely

cdef extern from "pynori_scan.h":
    bint name_equal "pyn_equal"(const uint8_t* left, const uint8_t* right, size_t size) noexcept nogil
    bint equal32 "pyn_equal32"(const uint8_t* left, const uint8_t* right, uint32_t mask) noexcept nogil
    uint32_t hash_name "pyn_hash_name"(const uint8_t* name, size_t size, uint64_t seed) noexcept nogil

cdef enum:
    SCHEMA_KEEP_BYTES_MAX = 262144   # a schema larger than this is not kept for the next document
    SCHEMA_SHAPES_MAX = 1024         # shapes that can be shared; further ones are written for each object
    SCHEMA_GUESSES = 256             # guessed names; power of two, addressed by hash, newest wins
    SCHEMA_GUESS_BYTES = 32          # name and closing quote of a guessed name fit this

# One value whose container is still open.
cdef struct BuilderSlot:
    uint32_t kind          # BlittableType in the low 4 bits; above it, in objects, the number of the name
    int32_t payload        # INLINE: the number, 28 bits; out-of-line kinds: offset in data, 0 if empty; else 0

# A property name.
cdef struct SchemaName:
    uint32_t hash          # seeded per process, for the index only
    uint32_t offset        # in bytes, at its size prefix
    uint32_t end           # behind its last byte
    uint32_t size          # of the name itself
    uint64_t mark          # serial of the last object that had it: finds duplicates in one pass
    uint32_t mark_slot     # its place among that object's slots
    uint32_t fingerprint   # blittable_fingerprint

# Names in an order, written once for all objects that have them.
cdef struct SchemaShape:
    uint32_t hash          # over the numbers of the names
    uint32_t offset        # in bytes
    uint32_t end
    uint32_t count

# A name as it stands in JSON text, without escapes.
cdef struct SchemaGuess:
    uint8_t text[32]       # name and closing quote
    SchemaGuess* next      # the name that came after it; never NULL
    uint32_t mask          # a bit for each byte of name and quote
    uint32_t size          # of the name
    uint32_t hash          # hash_name; 0: nothing is remembered here
    uint32_t name          # its number, if epoch is the schema's
    uint64_t epoch

cdef struct Schema:
    uint8_t* data              # names and shapes as they stand in a document
    uint32_t used              # bytes that belong to this document. Invariant: used <= size <= capacity
    uint32_t size              # bytes written, by this document or earlier ones
    uint32_t capacity
    uint32_t name_count
    uint32_t name_capacity
    uint32_t name_mask         # slots of name_index - 1
    uint32_t shape_count
    SchemaName* names          # in order of their offsets
    uint32_t* name_index       # open addressing: number in names + 1, 0 for free. Invariant: at most half full
    SchemaShape* shapes        # in order of their offsets; SCHEMA_SHAPES_MAX
    uint32_t* shape_index      # likewise; 2 * SCHEMA_SHAPES_MAX
    uint64_t hash_seed         # of the process
    uint64_t object_serial     # objects looked at, for SchemaName.mark
    uint64_t epoch             # how often names have been cut off, for SchemaGuess.epoch
    int failure                # ErrorCode of the first failure
    const char* failure_text
    SchemaGuess* guess         # the name read last. The schema must not be moved
    SchemaGuess guesses[256]

cdef bint schema_init(Schema* schema) noexcept nogil                 # False: no memory
cdef void schema_release(Schema* schema) noexcept nogil
cdef bint schema_begin(Schema* schema) noexcept nogil                # False: no memory

# Go back to an earlier value of `used` within this document.
cdef void schema_rewind(Schema* schema, uint32_t used) noexcept nogil

# The number of a name that is not the document's yet; -1 with failure set.
cdef int64_t schema_add_name(Schema* schema, const uint8_t* name, size_t size, uint32_t hash) noexcept nogil

# Offset of the shape of these slots; 0 with failure set. Of slots with equal names one is kept, with the first one's
# place and the last one's value, and count is lowered; with `unique` they are a failure instead.
cdef uint32_t schema_shape(Schema* schema, uint32_t hash, BuilderSlot* slots, uint32_t* count,
                           bint unique) noexcept nogil


# Take a name into the document; its number, or -1 with failure set.
cdef inline int64_t schema_name(Schema* schema, const uint8_t* name, size_t size, uint32_t hash) noexcept nogil:
    cdef uint32_t position = hash & schema.name_mask
    cdef SchemaName* known
    cdef uint32_t number
    while True:
        number = schema.name_index[position]
        if number == 0:
            break
        known = &schema.names[number - 1]
        if known.hash == hash and known.size == size and name_equal(schema.data + known.end - size, name, size):
            if known.offset > schema.used:
                break
            if known.offset == schema.used:
                schema.used = known.end
            return number - 1
        position = (position + 1) & schema.name_mask
    return schema_add_name(schema, name, size, hash)


# Whether the name expected next stands at `text`, of which SCHEMA_GUESS_BYTES are readable; it is then the last one.
cdef inline bint schema_guess(Schema* schema, const uint8_t* text) noexcept nogil:
    cdef SchemaGuess* guess = schema.guess.next
    if unlikely(guess.hash == 0 or not equal32(text, guess.text, guess.mask)):
        return False
    schema.guess = guess
    return True


# Remember a name that is written without escapes and is shorter than SCHEMA_GUESS_BYTES as the last one.
cdef inline void schema_remember(Schema* schema, const uint8_t* name, size_t size) noexcept nogil:
    cdef uint32_t hash = hash_name(name, size, schema.hash_seed)
    cdef SchemaGuess* guess = &schema.guesses[(hash >> 8) & (SCHEMA_GUESSES - 1)]
    if guess.hash != hash or guess.size != size or not name_equal(guess.text, name, size):
        memcpy(guess.text, name, size)
        guess.text[size] = c'"'
        guess.mask = <uint32_t>((<uint64_t>2 << size) - 1)
        guess.size = <uint32_t>size
        guess.hash = hash
        guess.epoch = 0
    schema.guess.next = guess
    schema.guess = guess


# Take the last remembered name into the document; its number, or -1 with failure set.
cdef inline int64_t schema_guessed_name(Schema* schema) noexcept nogil:
    cdef SchemaGuess* guess = schema.guess
    cdef SchemaName* known
    cdef int64_t number
    if likely(guess.epoch == schema.epoch):
        known = &schema.names[guess.name]
        if likely(known.offset <= schema.used):
            if known.offset == schema.used:
                schema.used = known.end
            return guess.name
    number = schema_name(schema, guess.text, guess.size, guess.hash)
    guess.name = <uint32_t>number
    guess.epoch = schema.epoch if number >= 0 else 0
    return number
