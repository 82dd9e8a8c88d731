;; Byte movers, atomic words and slots of slabs over the machine's shared memory. Assembled by tools/wasm/assemble.mjs into wasm-bytes.ts.
(module
  (import "env" "memory" (memory 1 65536 shared))

  (func (export "copy") (param $dst i32) (param $src i32) (param $len i32)
    (memory.copy (local.get $dst) (local.get $src) (local.get $len)))

  (func (export "fill") (param $dst i32) (param $value i32) (param $len i32)
    (memory.fill (local.get $dst) (local.get $value) (local.get $len)))

  ;; One word of shared memory, by word index; sequentially consistent. A call of these costs less than one of Atomics.
  (func (export "load") (param $at i32) (result i32)
    (i32.atomic.load (i32.shl (local.get $at) (i32.const 2))))
  (func (export "store") (param $at i32) (param $value i32)
    (i32.atomic.store (i32.shl (local.get $at) (i32.const 2)) (local.get $value)))
  (func (export "add") (param $at i32) (param $value i32) (result i32)
    (i32.atomic.rmw.add (i32.shl (local.get $at) (i32.const 2)) (local.get $value)))
  (func (export "sub") (param $at i32) (param $value i32) (result i32)
    (i32.atomic.rmw.sub (i32.shl (local.get $at) (i32.const 2)) (local.get $value)))
  (func (export "and") (param $at i32) (param $value i32) (result i32)
    (i32.atomic.rmw.and (i32.shl (local.get $at) (i32.const 2)) (local.get $value)))
  (func (export "or") (param $at i32) (param $value i32) (result i32)
    (i32.atomic.rmw.or (i32.shl (local.get $at) (i32.const 2)) (local.get $value)))
  (func (export "xor") (param $at i32) (param $value i32) (result i32)
    (i32.atomic.rmw.xor (i32.shl (local.get $at) (i32.const 2)) (local.get $value)))
  (func (export "exchange") (param $at i32) (param $value i32) (result i32)
    (i32.atomic.rmw.xchg (i32.shl (local.get $at) (i32.const 2)) (local.get $value)))
  (func (export "cas") (param $at i32) (param $expected i32) (param $value i32) (result i32)
    (i32.atomic.rmw.cmpxchg (i32.shl (local.get $at) (i32.const 2)) (local.get $expected) (local.get $value)))

  ;; Takes a lock word: notes (word index, info) in the task's record, whose count is at byte $held with the list behind it,
  ;; then compare-exchanges the word from 0 to $mine. Returns the word's old value (0: taken), or -1 when the record is full.
  (func (export "lockTake") (param $held i32) (param $limit i32) (param $info i32) (param $at i32) (param $mine i32) (result i32)
    (local $n i32) (local $p i32)
    (local.set $n (i32.load (local.get $held)))
    (if (i32.ge_s (local.get $n) (local.get $limit)) (then (return (i32.const -1))))
    (local.set $p (i32.add (local.get $held) (i32.shl (local.get $n) (i32.const 3))))
    (i32.store offset=4 (local.get $p) (local.get $at))
    (i32.store offset=8 (local.get $p) (local.get $info))
    (i32.store (local.get $held) (i32.add (local.get $n) (i32.const 1)))
    (i32.atomic.rmw.cmpxchg (i32.shl (local.get $at) (i32.const 2)) (i32.const 0) (local.get $mine)))

  ;; Frees a lock word that holds $mine, give or take the $flags bits, and removes the note if it is the newest.
  ;; Returns the flags that were set, plus 0x100 when the note is still there; -1 when the word is not the task's.
  (func (export "lockDrop") (param $held i32) (param $flags i32) (param $at i32) (param $mine i32) (result i32)
    (local $old i32) (local $last i32)
    (local.set $old (i32.load (i32.shl (local.get $at) (i32.const 2))))
    (if (i32.ne (i32.and (local.get $old) (i32.xor (local.get $flags) (i32.const -1))) (local.get $mine)) (then (return (i32.const -1))))
    (local.set $old (i32.and (i32.atomic.rmw.xchg (i32.shl (local.get $at) (i32.const 2)) (i32.const 0)) (local.get $flags)))
    (local.set $last (i32.sub (i32.load (local.get $held)) (i32.const 1)))
    (if (i32.eq (i32.load offset=4 (i32.add (local.get $held) (i32.shl (local.get $last) (i32.const 3)))) (local.get $at))
      (then (i32.store (local.get $held) (local.get $last)) (return (local.get $old))))
    (i32.or (local.get $old) (i32.const 0x100)))

  ;; Frees a lock word if it holds exactly $mine, and removes the note if it is the newest.
  ;; Returns 0, 0x100 when the note is still there, or -1 when the word held something else and was left alone.
  (func (export "lockDropExact") (param $held i32) (param $at i32) (param $mine i32) (result i32)
    (local $last i32)
    (if (i32.ne (i32.atomic.rmw.cmpxchg (i32.shl (local.get $at) (i32.const 2)) (local.get $mine) (i32.const 0)) (local.get $mine))
      (then (return (i32.const -1))))
    (local.set $last (i32.sub (i32.load (local.get $held)) (i32.const 1)))
    (if (i32.eq (i32.load offset=4 (i32.add (local.get $held) (i32.shl (local.get $last) (i32.const 3)))) (local.get $at))
      (then (i32.store (local.get $held) (local.get $last)) (return (i32.const 0))))
    (i32.const 0x100))

  ;; Spins while the word at index $at equals $value, at most $turns times. Returns 1 when it changed.
  (func (export "spinWhileEqual") (param $at i32) (param $value i32) (param $turns i32) (result i32)
    (local.set $at (i32.shl (local.get $at) (i32.const 2)))
    (loop $next
      (if (i32.le_s (local.get $turns) (i32.const 0)) (then (return (i32.const 0))))
      (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
      (br_if $next (i32.eq (i32.atomic.load (local.get $at)) (local.get $value))))
    (i32.const 1))

  ;; Spins while all $mask bits of the word at index $at are clear, at most $turns times. Returns 1 when one was set.
  (func (export "spinWhileClear") (param $at i32) (param $mask i32) (param $turns i32) (result i32)
    (local.set $at (i32.shl (local.get $at) (i32.const 2)))
    (loop $next
      (if (i32.le_s (local.get $turns) (i32.const 0)) (then (return (i32.const 0))))
      (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
      (br_if $next (i32.eqz (i32.and (i32.atomic.load (local.get $at)) (local.get $mask)))))
    (i32.const 1))

  ;; Spins for a lock word, about $turns turns, taking it from 0 to $mine. Returns 0 when taken, else the value last seen;
  ;; gives up as soon as one of the $stop bits is set. Looks ever more rarely, as each look takes the line from the holder.
  (func (export "lockSpin") (param $at i32) (param $mine i32) (param $stop i32) (param $turns i32) (result i32)
    (local $seen i32) (local $pause i32) (local $idle i32)
    (local.set $at (i32.shl (local.get $at) (i32.const 2)))
    (local.set $pause (i32.const 16))
    (loop $next
      (local.set $seen (i32.atomic.load (local.get $at)))
      (if (i32.eqz (local.get $seen))
        (then
          (local.set $seen (i32.atomic.rmw.cmpxchg (local.get $at) (i32.const 0) (local.get $mine)))
          (if (i32.eqz (local.get $seen)) (then (return (i32.const 0))))))
      (if (i32.and (local.get $seen) (local.get $stop)) (then (return (local.get $seen))))
      (local.set $turns (i32.sub (local.get $turns) (local.get $pause)))
      (local.set $idle (local.get $pause))
      (loop $rest (br_if $rest (local.tee $idle (i32.sub (local.get $idle) (i32.const 1)))))
      (if (i32.lt_s (local.get $pause) (i32.const 4096)) (then (local.set $pause (i32.shl (local.get $pause) (i32.const 1)))))
      (br_if $next (i32.gt_s (local.get $turns) (i32.const 0))))
    (local.get $seen))

  ;; Spins for a count, at most $turns times: takes $one off the word at index $at once a bit outside $flags is set, or leaves
  ;; it when one of the $all bits is. Returns 1 when there was something.
  (func (export "countSpin") (param $at i32) (param $one i32) (param $flags i32) (param $all i32) (param $turns i32) (result i32)
    (local $seen i32)
    (local.set $at (i32.shl (local.get $at) (i32.const 2)))
    (local.set $flags (i32.xor (local.get $flags) (i32.const -1)))
    (loop $next
      (local.set $seen (i32.atomic.load (local.get $at)))
      (if (i32.and (local.get $seen) (local.get $flags))
        (then
          (if (i32.and (local.get $seen) (local.get $all)) (then (return (i32.const 1))))
          (if (i32.eq (local.get $seen)
                (i32.atomic.rmw.cmpxchg (local.get $at) (local.get $seen) (i32.sub (local.get $seen) (local.get $one))))
            (then (return (i32.const 1))))
          (br $next)))
      (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
      (br_if $next (i32.gt_s (local.get $turns) (i32.const 0))))
    (i32.const 0))

  ;; Word of the live slot behind $ref, or 0 when that is null or stale. $dir: word of the slab's directory of 1024 chunks;
  ;; $geometry: words of a slot << 5 | bits of an index within its chunk. A ref is index (22 bits) and generation, odd while live.
  (func $slotAt (export "slotAt") (param $dir i32) (param $geometry i32) (param $ref i32) (result i32)
    (local $chunk i32) (local $p i32)
    (if (i32.eqz (i32.and (local.get $ref) (i32.const 0x400000))) (then (return (i32.const 0))))
    (local.set $chunk (i32.shr_u (i32.and (local.get $ref) (i32.const 0x3fffff)) (local.get $geometry)))
    (if (i32.ge_u (local.get $chunk) (i32.const 1024)) (then (return (i32.const 0))))
    (local.set $p (i32.load (i32.shl (i32.add (local.get $dir) (local.get $chunk)) (i32.const 2))))
    (if (i32.eqz (local.get $p)) (then (return (i32.const 0))))
    (local.set $p (i32.add (local.get $p) (i32.mul (i32.shr_u (local.get $geometry) (i32.const 5))
      (i32.sub (i32.and (local.get $ref) (i32.const 0x3fffff)) (i32.shl (local.get $chunk) (local.get $geometry))))))
    (if (i32.and (i32.xor (i32.load (i32.shl (local.get $p) (i32.const 2))) (local.get $ref)) (i32.const 0xffc00000))
      (then (return (i32.const 0))))
    (local.get $p))

  ;; A word of the slot behind $ref, or -1 when the ref is null or stale.
  (func (export "slotLoad") (param $dir i32) (param $geometry i32) (param $ref i32) (param $word i32) (result i32)
    (local $p i32)
    (local.set $p (call $slotAt (local.get $dir) (local.get $geometry) (local.get $ref)))
    (if (i32.eqz (local.get $p)) (then (return (i32.const -1))))
    (i32.atomic.load (i32.shl (i32.add (local.get $p) (local.get $word)) (i32.const 2))))

  ;; Adds to a word of the slot behind $ref; returns the old value, or -1 when the ref is null or stale.
  (func (export "slotAdd") (param $dir i32) (param $geometry i32) (param $ref i32) (param $word i32) (param $value i32) (result i32)
    (local $p i32)
    (local.set $p (call $slotAt (local.get $dir) (local.get $geometry) (local.get $ref)))
    (if (i32.eqz (local.get $p)) (then (return (i32.const -1))))
    (i32.atomic.rmw.add (i32.shl (i32.add (local.get $p) (local.get $word)) (i32.const 2)) (local.get $value)))

  ;; Takes the newest index out of a magazine (count, indices) and makes its slot live, with $low in the header's low bits;
  ;; returns the ref, 0 when there is none.
  (func (export "slotTake") (param $dir i32) (param $geometry i32) (param $mag i32) (param $low i32) (result i32)
    (local $n i32) (local $index i32) (local $p i32) (local $ref i32) (local $chunk i32)
    (local.set $n (i32.load (i32.shl (local.get $mag) (i32.const 2))))
    (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
    (local.set $index (i32.load (i32.shl (i32.add (local.get $mag) (local.get $n)) (i32.const 2))))
    (i32.store (i32.shl (local.get $mag) (i32.const 2)) (i32.sub (local.get $n) (i32.const 1)))
    (local.set $chunk (i32.shr_u (local.get $index) (local.get $geometry)))
    (local.set $p (i32.shl (i32.add (i32.load (i32.shl (i32.add (local.get $dir) (local.get $chunk)) (i32.const 2)))
      (i32.mul (i32.shr_u (local.get $geometry) (i32.const 5))
        (i32.sub (local.get $index) (i32.shl (local.get $chunk) (local.get $geometry))))) (i32.const 2)))
    (local.set $ref (i32.add (i32.and (i32.load (local.get $p)) (i32.const 0xffc00000)) (i32.const 0x400000)))
    (i32.store (local.get $p) (i32.or (local.get $ref) (local.get $low)))
    (i32.or (local.get $ref) (local.get $index)))

  ;; The same for a slot of 8 words, which it fills: header, three words, a double, a zero double. Word 3, whose count makes the
  ;; slot known to whoever tries an old ref, comes last. (Written out, as are the others: calls within a module are not inlined.)
  (func (export "slotMake") (param $dir i32) (param $geometry i32) (param $mag i32) (param $low i32)
    (param $word1 i32) (param $word2 i32) (param $word3 i32) (param $value f64) (result i32)
    (local $n i32) (local $index i32) (local $p i32) (local $ref i32) (local $chunk i32)
    (local.set $n (i32.load (i32.shl (local.get $mag) (i32.const 2))))
    (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
    (local.set $index (i32.load (i32.shl (i32.add (local.get $mag) (local.get $n)) (i32.const 2))))
    (i32.store (i32.shl (local.get $mag) (i32.const 2)) (i32.sub (local.get $n) (i32.const 1)))
    (local.set $chunk (i32.shr_u (local.get $index) (local.get $geometry)))
    (local.set $p (i32.shl (i32.add (i32.load (i32.shl (i32.add (local.get $dir) (local.get $chunk)) (i32.const 2)))
      (i32.mul (i32.shr_u (local.get $geometry) (i32.const 5))
        (i32.sub (local.get $index) (i32.shl (local.get $chunk) (local.get $geometry))))) (i32.const 2)))
    (local.set $ref (i32.add (i32.and (i32.load (local.get $p)) (i32.const 0xffc00000)) (i32.const 0x400000)))
    (i32.store (local.get $p) (i32.or (local.get $ref) (local.get $low)))
    (i32.store offset=4 (local.get $p) (local.get $word1))
    (i32.store offset=8 (local.get $p) (local.get $word2))
    (f64.store offset=16 (local.get $p) (local.get $value))
    (i64.store offset=24 (local.get $p) (i64.const 0))
    (i32.store offset=12 (local.get $p) (local.get $word3))
    (i32.or (local.get $ref) (local.get $index)))

  ;; Sets $bits in word 3 of a slot of 8 words if none of $busy is set there, then writes its last double. Returns the old
  ;; word 3; -1 when $busy was set, somebody changed the word meanwhile, or the ref is null or stale: nothing is done then.
  (func (export "slotMark") (param $dir i32) (param $geometry i32) (param $ref i32) (param $bits i32) (param $busy i32) (param $value f64) (result i32)
    (local $p i32) (local $old i32)
    (local.set $p (i32.shl (call $slotAt (local.get $dir) (local.get $geometry) (local.get $ref)) (i32.const 2)))
    (if (i32.eqz (local.get $p)) (then (return (i32.const -1))))
    (local.set $old (i32.load offset=12 (local.get $p)))
    (if (i32.and (local.get $old) (local.get $busy)) (then (return (i32.const -1))))
    (if (i32.ne (local.get $old) (i32.atomic.rmw.cmpxchg offset=12 (local.get $p) (local.get $old) (i32.or (local.get $old) (local.get $bits))))
      (then (return (i32.const -1))))
    (f64.store offset=24 (local.get $p) (local.get $value))
    (local.get $old))

  ;; Takes a reference off word 3, which counts them from bit 8 on, and when its old value under $mask was $last, frees the
  ;; slot as slotGive does. Returns the old word 3; -2 when the slot was freed, -1 when the ref is null or stale.
  (func (export "slotPut") (param $dir i32) (param $geometry i32) (param $mag i32) (param $ref i32) (param $mask i32) (param $last i32) (result i32)
    (local $p i32) (local $old i32) (local $n i32)
    (local.set $p (i32.shl (call $slotAt (local.get $dir) (local.get $geometry) (local.get $ref)) (i32.const 2)))
    (if (i32.eqz (local.get $p)) (then (return (i32.const -1))))
    (local.set $old (i32.atomic.rmw.sub offset=12 (local.get $p) (i32.const 0x100)))
    (if (i32.ne (i32.and (local.get $old) (local.get $mask)) (local.get $last)) (then (return (local.get $old))))
    (local.set $n (i32.load (i32.shl (local.get $mag) (i32.const 2))))
    (if (i32.ge_s (local.get $n) (i32.const 64)) (then (return (local.get $old))))
    (i32.store (local.get $p) (i32.and (i32.add (local.get $ref) (i32.const 0x400000)) (i32.const 0xffc00000)))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (i32.store (i32.shl (i32.add (local.get $mag) (local.get $n)) (i32.const 2)) (i32.and (local.get $ref) (i32.const 0x3fffff)))
    (i32.store (i32.shl (local.get $mag) (i32.const 2)) (local.get $n))
    (i32.const -2))

  ;; Frees the slot behind $ref and puts its index into a magazine. Returns 1, 0 when that holds 64 already, or -1 when the
  ;; ref is null or stale.
  (func (export "slotGive") (param $dir i32) (param $geometry i32) (param $mag i32) (param $ref i32) (result i32)
    (local $p i32) (local $n i32)
    (local.set $p (i32.shl (call $slotAt (local.get $dir) (local.get $geometry) (local.get $ref)) (i32.const 2)))
    (if (i32.eqz (local.get $p)) (then (return (i32.const -1))))
    (local.set $n (i32.load (i32.shl (local.get $mag) (i32.const 2))))
    (if (i32.ge_s (local.get $n) (i32.const 64)) (then (return (i32.const 0))))
    (i32.store (local.get $p) (i32.and (i32.add (local.get $ref) (i32.const 0x400000)) (i32.const 0xffc00000)))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (i32.store (i32.shl (i32.add (local.get $mag) (local.get $n)) (i32.const 2)) (i32.and (local.get $ref) (i32.const 0x3fffff)))
    (i32.store (i32.shl (local.get $mag) (i32.const 2)) (local.get $n))
    (i32.const 1))

  ;; 32-bit hash, four lanes of (rotl(lane + word * P2, 13) * P1) over 16-byte blocks, then the tail byte by byte.
  (func (export "hash") (param $at i32) (param $len i32) (result i32)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $h i32) (local $end i32)
    (local.set $a (i32.const 0x24234428))
    (local.set $b (i32.const 0x85ebca77))
    (local.set $c (i32.const 0))
    (local.set $d (i32.const 0x61c8864f))
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $len) (i32.const -16))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (local.set $a (i32.mul (i32.rotl (i32.add (local.get $a) (i32.mul (i32.load (local.get $at)) (i32.const 0x85ebca77))) (i32.const 13)) (i32.const 0x9e3779b1)))
        (local.set $b (i32.mul (i32.rotl (i32.add (local.get $b) (i32.mul (i32.load offset=4 (local.get $at)) (i32.const 0x85ebca77))) (i32.const 13)) (i32.const 0x9e3779b1)))
        (local.set $c (i32.mul (i32.rotl (i32.add (local.get $c) (i32.mul (i32.load offset=8 (local.get $at)) (i32.const 0x85ebca77))) (i32.const 13)) (i32.const 0x9e3779b1)))
        (local.set $d (i32.mul (i32.rotl (i32.add (local.get $d) (i32.mul (i32.load offset=12 (local.get $at)) (i32.const 0x85ebca77))) (i32.const 13)) (i32.const 0x9e3779b1)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (local.set $h (i32.add (local.get $len)
      (i32.add (i32.add (i32.rotl (local.get $a) (i32.const 1)) (i32.rotl (local.get $b) (i32.const 7)))
               (i32.add (i32.rotl (local.get $c) (i32.const 12)) (i32.rotl (local.get $d) (i32.const 18))))))
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $len) (i32.const 15))))
    (block $tail
      (loop $byte
        (br_if $tail (i32.eq (local.get $at) (local.get $end)))
        (local.set $h (i32.mul (i32.rotl (i32.add (local.get $h) (i32.mul (i32.load8_u (local.get $at)) (i32.const 0x165667b1))) (i32.const 11)) (i32.const 0x9e3779b1)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $byte)))
    (local.set $h (i32.mul (i32.xor (local.get $h) (i32.shr_u (local.get $h) (i32.const 15))) (i32.const 0x85ebca77)))
    (i32.xor (local.get $h) (i32.shr_u (local.get $h) (i32.const 13)))))
