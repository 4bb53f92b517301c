#include "base/bytes.h"

#include <bit>
#include <new>

namespace spatter {
namespace {

constexpr std::size_t pooled_bytes_min = 32 * 1024;
constexpr std::size_t pooled_bytes_max = 16 * 1024 * 1024;
constexpr std::size_t idle_bytes_max = 64 * 1024 * 1024;
constexpr std::size_t steps_per_octave = 4;  // at most a quarter of a block is wasted
constexpr std::size_t classes_above = 2 * steps_per_octave;  // up to four times the size asked for
constexpr std::align_val_t block_alignment{4096};

/// Free blocks by size class. Blocks go back on whatever thread drops the last Buffer.
class BlockPool {
 public:
  static BlockPool& instance() {
    static BlockPool* pool = new BlockPool;  // never destroyed: Buffers may outlive static objects
    return *pool;
  }

  std::shared_ptr<void> allocate(std::size_t size) {
    std::size_t index = class_of(size);
    void* block = take(index);
    if (block == nullptr) block = ::operator new(class_bytes(index), block_alignment);
    return {block, [index](void* freed) { instance().give_back(index, freed); }};
  }

  void trim() {
    std::vector<void*> freed;
    {
      std::lock_guard lock(mutex_);
      for (std::size_t index = 0; index < classes; ++index) {
        FreeList& list = lists_[index];
        for (; list.idle_min > 0 && !list.blocks.empty(); --list.idle_min) {
          freed.push_back(list.blocks.front());
          list.blocks.pop_front();
          idle_bytes_ -= class_bytes(index);
        }
        list.idle_min = list.blocks.size();
      }
    }
    for (void* block : freed) ::operator delete(block, block_alignment);
  }

 private:
  static constexpr std::size_t classes =
      (std::bit_width(pooled_bytes_max) - std::bit_width(pooled_bytes_min)) * steps_per_octave + 1;

  struct FreeList {
    std::deque<void*> blocks;   // the back was used last, so its pages are the warmest
    std::size_t idle_min = 0;   // fewest blocks that lay here since the last trim
  };

  static std::size_t class_bytes(std::size_t index) {
    const std::size_t octave = pooled_bytes_min << (index / steps_per_octave);
    return octave + octave / steps_per_octave * (index % steps_per_octave);
  }
  static std::size_t class_of(std::size_t size) {
    const std::size_t octave = std::bit_width(size) - std::bit_width(pooled_bytes_min);
    const std::size_t base = pooled_bytes_min << octave;
    const std::size_t step = base / steps_per_octave;
    return octave * steps_per_octave + (size - base + step - 1) / step;
  }

  /// A block of class `index`, or else a larger one: memory touched already is worth more than a close
  /// fit. `index` becomes its class.
  void* take(std::size_t& index) {
    std::lock_guard lock(mutex_);
    const std::size_t end = std::min(index + classes_above, classes - 1);
    for (std::size_t at = index; at <= end; ++at) {
      FreeList& list = lists_[at];
      if (list.blocks.empty()) continue;
      void* block = list.blocks.back();
      list.blocks.pop_back();
      list.idle_min = std::min(list.idle_min, list.blocks.size());
      idle_bytes_ -= class_bytes(at);
      index = at;
      return block;
    }
    return nullptr;
  }

  void give_back(std::size_t index, void* block) {
    {
      std::lock_guard lock(mutex_);
      if (idle_bytes_ + class_bytes(index) <= idle_bytes_max) {
        idle_bytes_ += class_bytes(index);
        lists_[index].blocks.push_back(block);
        return;
      }
    }
    ::operator delete(block, block_alignment);
  }

  std::mutex mutex_;
  std::array<FreeList, classes> lists_;
  std::size_t idle_bytes_ = 0;
};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text(bytes.size() * 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text[2 * i] = digits[bytes[i] >> 4];
    text[2 * i + 1] = digits[bytes[i] & 15];
  }
  return text;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0)
    return fail(Errc::invalid, "hexadecimal text has an odd length ({})", text.size());
  Bytes bytes(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int digit = hex_digit(text[i]);
    if (digit < 0)
      return fail(Errc::invalid, "character {} of hexadecimal text is no hexadecimal digit", i);
    bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] << 4 | digit);
  }
  return bytes;
}

Buffer Buffer::allocate(std::size_t size) {
  Buffer buffer;
  if (size == 0) return buffer;
  std::shared_ptr<void> owner;
  if (size < pooled_bytes_min) {
    owner = std::make_shared_for_overwrite<std::uint8_t[]>(size);
  } else if (size <= pooled_bytes_max) {
    owner = BlockPool::instance().allocate(size);
  } else {
    owner = {::operator new(size, block_alignment),
             [](void* block) { ::operator delete(block, block_alignment); }};
  }
  buffer.view_ = {static_cast<const std::uint8_t*>(owner.get()), size};
  buffer.owner_ = std::move(owner);
  return buffer;
}

Buffer Buffer::copy_of(ByteView bytes) {
  Buffer buffer = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.mutable_data(), bytes.data(), bytes.size());
  return buffer;
}

Buffer Buffer::take(Bytes bytes) {
  Buffer buffer;
  auto owner = std::make_shared<const Bytes>(std::move(bytes));
  buffer.view_ = *owner;
  buffer.owner_ = std::move(owner);
  return buffer;
}

Buffer Buffer::slice(std::size_t offset, std::size_t length) const {
  SPATTER_ASSERT(offset <= size() && length <= size() - offset);
  Buffer part;
  part.owner_ = owner_;
  part.view_ = view_.subspan(offset, length);
  return part;
}

void Buffer::trim_pool() { BlockPool::instance().trim(); }

}  // namespace spatter
