#include "blob_file.h"

#include "crypto/hash.h"
#include "cycles/work_desk.h"

namespace spatter {

Result<BlobFacts> hash_file(Disk& disk, const std::string& path) {
  TRY(auto file, disk.open(path, OpenMode::read));
  Sha256 hash;
  BlobFacts facts;
  auto buffer = Buffer::allocate(1 << 20);
  while (true) {
    TRY(const auto got, file->read_at(facts.bytes, buffer.mutable_view()));
    if (got == 0) break;
    hash.update(buffer.view().first(got));
    facts.bytes += got;
  }
  facts.digest = hash.finish();
  return facts;
}

Task<Result<void>> fetch_blob(Runtime& runtime, std::string path, BlobFacts facts, std::string what, FetchPart fetch) {
  const auto part = path + ".part";
  auto opened = co_await runtime.blocking([&]() -> Result<std::unique_ptr<File>> {
    TRY(auto file, runtime.disk().open(part, OpenMode::create));
    TRY_VOID(file->truncate(0));
    return file;
  });
  CO_TRY(auto file, std::move(opened));
  Sha256 hash;
  for (std::uint64_t offset = 0; offset < facts.bytes;) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(facts.bytes - offset, work_fetch_bytes_max));
    CO_TRY(const auto bytes, co_await fetch(offset, length));
    if (bytes.size() != length)
      co_return fail(Errc::corrupt, "{}: {} bytes at {} instead of {}", what, bytes.size(), offset, length);
    const auto written = co_await runtime.blocking([&] {
      hash.update(bytes);
      return file->write_at(offset, bytes);
    });
    CO_TRY_VOID(written);
    offset += length;
  }
  if (hash.finish() != facts.digest)
    co_return fail(Errc::corrupt, "{} is not what it was said to be: another SHA-256", what);
  file.reset();
  co_return co_await runtime.blocking([&] { return runtime.disk().rename(part, path); });
}

Result<void> remove_folder(Disk& disk, const std::string& path) {
  if (path.empty()) return fail(Errc::invalid, "the whole drive is no folder to be removed");
  const auto entries = disk.list(path);
  if (!entries) {
    if (entries.error().code == Errc::not_found) return {};
    return fail(entries.error());
  }
  for (const auto& entry : *entries) {
    const auto below = path + "/" + entry.name;
    if (entry.is_directory) TRY_VOID(remove_folder(disk, below));
    else TRY_VOID(disk.remove(below));
  }
  return disk.remove(path);
}

}  // namespace spatter
