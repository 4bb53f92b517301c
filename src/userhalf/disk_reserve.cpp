#include "disk_reserve.h"

namespace spatter {

void DiskReserve::keep() {
  Disk& disk = runtime_.disk();
  if (auto there = disk.stat(path_); there && there->size == bytes) return;
  auto space = disk.space();
  if (!space || space->free < 16 * bytes) return;
  auto written = write();
  if (written) return;
  (void)disk.remove(path_);
  runtime_.log().debug("no reserve for a full disk: {}", written.error().message);
}

Result<void> DiskReserve::write() {
  // Bytes that no file system can make smaller.
  Buffer filling = Buffer::allocate(bytes);
  SeededRandom(bytes).fill(filling.mutable_view());
  TRY(auto file, runtime_.disk().open(path_, OpenMode::create));
  TRY_VOID(file->write_at(0, filling));
  return file->sync();
}

bool DiskReserve::give_up() {
  Disk& disk = runtime_.disk();
  auto there = disk.stat(path_);
  if (!there || there->size == 0) return false;
  return disk.remove(path_).has_value();
}

}  // namespace spatter
