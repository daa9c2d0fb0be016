//! Record streams as Arrow record batches, and these as TSV and JSON lines.
//!
//! | column          | type   | null where                                  |
//! |-----------------|--------|---------------------------------------------|
//! | name            | utf8   | the record has none (`*`)                   |
//! | flag            | uint16 |                                             |
//! | contig          | utf8   | unplaced                                    |
//! | pos             | int64  | unplaced; 0-based                           |
//! | end             | int64  | unplaced; exclusive                         |
//! | mapq            | uint8  |                                             |
//! | cigar           | utf8   | `*`                                         |
//! | mate_contig     | utf8   | no mate, or unplaced                        |
//! | mate_pos        | int64  | no mate, or unplaced; 0-based               |
//! | template_length | int32  |                                             |
//! | sequence        | utf8   | `*`                                         |
//! | qualities       | utf8   | `*`; phred + 33                             |
//! | tags            | utf8   | SAM text, tabs between tags                 |
//! | NM, XY:i, ...   | utf8, int64 (`:i`) or float64 (`:f`) | the record has not the tag |

mod columns;
pub mod text;

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::record::{iterate, Record};
use columns::Column;

/// Which columns to make, with the contig names that they need.
pub struct Table {
    columns: Vec<Column>,
    contigs: Vec<String>,
    schema: SchemaRef,
}

impl Table {
    /// Name the columns; an unknown name is an error.
    pub fn new(names: &[String], contigs: Vec<String>) -> Result<Self> {
        let columns: Vec<Column> =
            names.iter().map(|name| Column::parse(name)).collect::<Result<_>>()?;
        let field =
            |(name, column): (&String, &Column)| Field::new(plain(name), column.data_type(), true);
        let fields: Vec<Field> = names.iter().zip(&columns).map(field).collect();
        Ok(Self { columns, contigs, schema: Arc::new(Schema::new(fields)) })
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Make a batch with a row for each record.
    pub fn batch(&self, stream: &[u8]) -> Result<RecordBatch> {
        let records = iterate(stream).collect::<Result<Vec<Record>>>().map_err(Error::stored)?;
        let build = |column: &Column| column.build(&records, &self.contigs);
        let arrays = self.columns.iter().map(build).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        RecordBatch::try_new_with_options(self.schema(), arrays, &options)
            .map_err(|error| Error::Input(error.to_string()))
    }
}

/// The name of a column without the type of a tag.
fn plain(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
