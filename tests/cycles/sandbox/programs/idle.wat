;; Does nothing for ever: all that there is to compute is its fuel, which a compiler would like to do at once.
(module
  (memory (export "memory") 1)
  (func (export "_start") (loop $forever (br $forever))))
