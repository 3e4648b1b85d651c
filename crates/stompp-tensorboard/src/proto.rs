//! The messages of `event.proto`, `summary.proto` and `histogram.proto` (TensorFlow), with the fields that this crate writes.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(crate) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(crate) step: i64,
    #[prost(oneof = "EventKind", tags = "3, 5")]
    pub(crate) what: Option<EventKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum EventKind {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(SummaryProto),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SummaryProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) value: Vec<ValueProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueProto {
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(crate) simple_value: Option<f32>,
    #[prost(message, optional, tag = "5")]
    pub(crate) histo: Option<HistogramProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HistogramProto {
    #[prost(double, tag = "1")]
    pub(crate) min: f64,
    #[prost(double, tag = "2")]
    pub(crate) max: f64,
    #[prost(double, tag = "3")]
    pub(crate) num: f64,
    #[prost(double, tag = "4")]
    pub(crate) sum: f64,
    #[prost(double, tag = "5")]
    pub(crate) sum_squares: f64,
    /// Upper end of each bucket.
    #[prost(double, repeated, tag = "6")]
    pub(crate) bucket_limit: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    pub(crate) bucket: Vec<f64>,
}
