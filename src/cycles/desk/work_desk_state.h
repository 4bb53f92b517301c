// What the parts of WorkDesk share.
#pragma once

#include <map>
#include <set>

#include "blob_file.h"
#include "cycles/job.h"
#include "cycles/work_desk.h"
#include "directory/allowances.h"

namespace spatter {

struct WorkDesk::State {
  State(Parts parts, WorkOptions options)
      : parts(std::move(parts)), options(options), modules(this->parts.runtime.executor()),
        room(this->parts.runtime.executor()), tasks(this->parts.runtime.executor()) {}

  struct Key {
    ServerId asker;
    JobId job;
    std::uint32_t piece = 0;
    auto operator<=>(const Key&) const = default;
  };
  enum class Stage { waiting, fetching, computing, committed, shown, failed };
  struct Entry {
    explicit Entry(asio::any_io_executor executor) : group(std::move(executor)) {}
    wire::WorkOrder order;
    Stage stage = Stage::waiting;
    std::string folder;
    WorkResult result;
    std::string log;
    Digest nonce, commitment;
    bool told = false;  ///< the asker has the commitment
    std::optional<LedgerDesk::Given> lease;
    bool delivered = false, released = false;
    std::set<PersonId> shown_to;  ///< persons known to have been drawn as witnesses
    std::uint64_t number = 0;  ///< in the order in which they came
    TimePoint since{};
    TaskGroup group;  ///< what is done for it
  };

  Task<void> work(Key key, std::shared_ptr<Entry> entry);
  Task<Result<void>> compute(const Key& key, Entry& entry);
  Task<Result<std::string>> get_module(const Key& key, BlobFacts facts);
  Task<Result<void>> trim_modules(const std::string& keep);
  Task<void> tell(const Key& key, Entry& entry, const std::string& trouble);
  FetchPart fetch_from(const Key& key, const Digest& digest);
  Task<void> forget(Key key, std::shared_ptr<Entry> entry);
  Task<void> forget_old();

  Task<Result<RpcReply>> handle_offer(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_reveal(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_output(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_release(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_ask(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_show(Caller caller, RpcRequest request);
  Task<Result<Buffer>> read_output(const Entry& entry, std::uint64_t offset, std::size_t length);
  Task<Result<void>> may_take(const Key& key, const wire::WorkOrder& order, bool is_owed);
  bool is_owed(const wire::CyclesRecord& lease) const;
  bool is_kept_for_witnesses(const Entry& entry) const;
  void drop_receipted();
  std::shared_ptr<Entry> find_lease(const cycles::EntryId& lease) const;
  bool is_next(const Entry& entry) const;
  /// What it may need of the disk.
  static std::uint64_t room_for(const wire::WorkOrder& order) {
    std::uint64_t bytes = order.output_bytes_max();
    for (const auto& input : order.inputs()) bytes += input.bytes();
    return bytes;
  }
  Result<void> check_order(const wire::WorkOrder& order) const;
  Result<std::shared_ptr<Entry>> find(const Caller& caller, const std::string& job, std::uint32_t piece) const;
  bool stopping() const { return tasks.stopping(); }
  bool at_work(const Entry& entry) const { return entry.stage < Stage::committed; }

  Parts parts;
  WorkOptions options;
  std::map<Key, std::shared_ptr<Entry>> entries;
  std::uint64_t folders = 0;
  unsigned computing = 0;
  WorkReport sums;
  Mutex modules;      ///< one is fetched at a time
  WaitQueue room;     ///< to compute
  std::set<const Entry*> waiting;  ///< for it
  Allowances<ServerId> looks{256, 2};  ///< of witnesses
  TaskGroup tasks;
};

}  // namespace spatter
