;; Reads and writes the last bytes of its memory, before and after it grows; then one byte too far.
(module
  (memory (export "memory") 1 2)
  (func (export "_start")
    (i64.store (i32.const 65528) (i64.load (i32.const 65528)))
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const 1)) (then (unreachable)))
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
    (i64.store offset=65528 (i32.const 65536) (i64.const 1))
    (i64.store offset=65529 (i32.const 65536) (i64.const 1))))
