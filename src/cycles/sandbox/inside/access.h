/* How translated code reaches its memory; read in the middle of what wasm2c wrote, before its loads and
 * stores are defined. The memory lies at one address known here, so that an access is one instruction:
 * no base to load, no bounds to compare. All that 32 bits of address and 32 of offset can reach is
 * reserved; what is not memory there cannot be read or written, and whoever tries ends with a trap.
 *
 * A load whose value nobody needs must trap all the same, or machines would disagree: the empty
 * assembly keeps it. */
#undef DEFINE_LOAD
#undef DEFINE_STORE

#if defined(__x86_64__)
#define NEEDED_FLOAT(x) __asm__ volatile("" ::"x"(x))
#else
#define NEEDED_FLOAT(x) __asm__ volatile("" ::"w"(x))
#endif
#define NEEDED_INTEGER(x) __asm__ volatile("" ::"r"(x))
#define NEEDED_f32 NEEDED_FLOAT
#define NEEDED_f64 NEEDED_FLOAT
#define NEEDED_u8 NEEDED_INTEGER
#define NEEDED_s8 NEEDED_INTEGER
#define NEEDED_u16 NEEDED_INTEGER
#define NEEDED_s16 NEEDED_INTEGER
#define NEEDED_u32 NEEDED_INTEGER
#define NEEDED_s32 NEEDED_INTEGER
#define NEEDED_u64 NEEDED_INTEGER
#define NEEDED_s64 NEEDED_INTEGER

#define DEFINE_LOAD(name, stored, wide, result)                    \
  static inline result name(wasm_rt_memory_t* mem, u64 address) {  \
    stored value;                                                  \
    (void)mem;                                                     \
    __builtin_memcpy(&value, MEMORY + address, sizeof value);      \
    NEEDED_##stored(value);                                        \
    return (result)(wide)value;                                    \
  }
#define DEFINE_STORE(name, stored, given)                                     \
  static inline void name(wasm_rt_memory_t* mem, u64 address, given value) {  \
    const stored narrow = (stored)value;                                      \
    (void)mem;                                                                \
    __builtin_memcpy(MEMORY + address, &narrow, sizeof narrow);               \
  }
