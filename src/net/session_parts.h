// What a Session keeps per call. Included by its own files only.
#pragma once

#include "session.h"

namespace spatter {

/// A payload put together from its DATA frames.
class Assembly {
 public:
  /// True once `whole` bytes are there; an error when there are more. Pieces are kept as they came;
  /// only those of a peer that cuts very small ones are copied together, lest they cost more memory
  /// than they bring.
  Result<bool> add(Buffer piece, std::size_t whole) {
    if (piece.size() > whole - have_)
      return fail(Errc::invalid, "more than the {} bytes of payload it announced", whole);
    have_ += piece.size();
    if (small_.empty() && (piece.size() >= piece_bytes_min || have_ == whole)) {
      pieces_.append(std::move(piece));
      return have_ == whole;
    }
    if (small_.empty()) {
      small_ = Buffer::allocate(whole);
      pieces_.copy_to(0, small_.mutable_view().first(pieces_.size()));
      pieces_ = {};
    }
    std::memcpy(small_.mutable_data() + have_ - piece.size(), piece.data(), piece.size());
    return have_ == whole;
  }
  Rope take() {
    have_ = 0;
    if (!small_.empty()) return std::exchange(small_, {});
    return std::exchange(pieces_, {});
  }

 private:
  static constexpr std::size_t piece_bytes_min = 64 << 10;

  Rope pieces_;
  Buffer small_;
  std::size_t have_ = 0;
};

struct Session::Outgoing {
  explicit Outgoing(asio::any_io_executor executor) : done(std::move(executor)) {}

  std::uint64_t id = 0;
  TimePoint begun;
  Deadlines::Token deadline;
  Event done;
  std::optional<Result<RpcReply>> result;
  bool answered = false;

  std::size_t request_bytes = 0;
  Buffer request_payload;  // until granted
  std::optional<std::uint64_t> bulk_sent_before;

  RpcReply reply;              // header here, payload to come
  std::size_t reply_bytes = 0;
  bool replied_header = false;
  bool granted = false;        // DATA may come
  bool replied = false;        // the peer is done with this call
  ByteBudget::Hold reply_room;
  std::shared_ptr<ByteBudget::Want> reply_want;
  Assembly assembly;
  std::uint64_t bulk_received_before = 0;
};

struct Session::Incoming {
  std::uint64_t id = 0;
  std::shared_ptr<Rpc::Handler> handler;
  RpcRequest request;
  bool bulk = false;
  std::size_t request_bytes = 0;
  std::size_t inline_bytes = 0;   // of the request, while it is held
  std::size_t reply_granted = 0;  // in advance
  Deadlines::Token deadline;
  ByteBudget::Hold request_room;
  std::shared_ptr<ByteBudget::Want> request_want;
  bool granted = false;           // DATA may come
  Assembly assembly;

  asio::cancellation_signal signal;
  bool running = false;           // its handler is
  bool given_up = false;          // nobody waits for a reply any more
  Buffer reply_payload;           // until granted
  std::size_t reply_unsent = 0;   // counted in reply_bytes_unsent_
};

Task<Result<Semaphore::Permit>> wait_for_slot(Semaphore& slots);
/// The error a peer reports, as ours: codes of a newer version become invalid.
Error error_of(const wire::RpcHeader& header, const ServerId& peer);

}  // namespace spatter
