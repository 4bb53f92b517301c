// What another server may send to a holder: no body crashes it, and what is accepted is in bounds.
#include "requests.h"
#include "trust/contract.h"

using namespace spatter;
using namespace spatter::serverhalf;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body = as_text(ByteView(data + 1, size - 1));
  switch (data[0] % 12) {
    case 0: (void)decode_put(body); break;
    case 1:
      if (auto begin = decode_begin(body)) SPATTER_ASSERT(begin->size >= 1 && begin->size <= shard_bytes_max);
      break;
    case 2:
      if (auto write = decode_write(body)) SPATTER_ASSERT(write->offset <= shard_bytes_max);
      break;
    case 3: (void)decode_commit(body); break;
    case 4: (void)decode_abort(body); break;
    case 5:
      if (auto read = decode_read(body)) SPATTER_ASSERT(read->key.index <= shard_index_max);
      break;
    case 6:
      if (auto list = decode_list(body)) SPATTER_ASSERT(list->limit >= 1 && list->limit <= 1024);
      break;
    case 7:
      if (auto release = decode_release(body)) SPATTER_ASSERT(release->keys.size() <= release_keys_max);
      break;
    case 8:
      if (auto check = decode_check(body)) SPATTER_ASSERT(check->keys.size() <= check_keys_max);
      break;
    case 9:
      if (auto renew = decode_renew(body)) SPATTER_ASSERT(renew->contracts.size() <= renew_contracts_max);
      break;
    case 10: (void)decode_root_put(body); break;
    default: (void)decode_root_get(body); break;
  }
  return 0;
}
