#include "spatter/label.h"

#include "proto/stripe.pb.h"

namespace spatter {

std::string seal_label(const RecordKeys& keys, const StripeId& stripe, const StripeLabel& label) {
  wire::StripeLabel message;
  message.set_pack(label.pack.raw());
  message.set_offset(label.offset);
  message.set_length(label.length);
  message.set_pack_sequence(label.pack_sequence);
  message.set_pack_length(label.pack_length);
  message.set_has_log(label.has_log);
  message.set_has_snapshot(label.has_snapshot);
  return to_string(keys.seal(stripe.view(), as_bytes(message.SerializeAsString())));
}

Result<StripeLabel> open_label(const RecordKeys& keys, const StripeId& stripe, ByteView sealed) {
  TRY(const auto plain, keys.open(stripe.view(), sealed));
  wire::StripeLabel message;
  if (!message.ParseFromArray(plain.data(), static_cast<int>(plain.size())))
    return fail(Errc::corrupt, "stripe {}: its label cannot be read", stripe);
  StripeLabel label;
  TRY(label.pack, PackId::from(message.pack()));
  label.offset = message.offset();
  label.length = message.length();
  label.pack_sequence = message.pack_sequence();
  label.pack_length = message.pack_length();
  label.has_log = message.has_log();
  label.has_snapshot = message.has_snapshot();
  return label;
}

}  // namespace spatter
