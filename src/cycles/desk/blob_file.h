// Files of bytes that are known by their hash, on the Runtime's disk.
#pragma once

#include <functional>
#include <string>

#include "base/runtime.h"
#include "base/ids.h"

namespace spatter {

struct BlobFacts {
  Digest digest;
  std::uint64_t bytes = 0;
};

/// Blocks: for Runtime::blocking.
Result<BlobFacts> hash_file(Disk& disk, const std::string& path);

/// Gets a stretch of at most work_fetch_bytes_max bytes from where the blob is.
using FetchPart = std::function<Task<Result<Buffer>>(std::uint64_t offset, std::size_t length)>;

/// Fetches all of it into `path`, which is there only when it is whole and hashes right. Errors name `what`.
Task<Result<void>> fetch_blob(Runtime& runtime, std::string path, BlobFacts facts, std::string what, FetchPart fetch);

/// Removes a folder with the files and folders in it; nothing there is no error. Never the drive itself. Blocks.
Result<void> remove_folder(Disk& disk, const std::string& path);

}  // namespace spatter
