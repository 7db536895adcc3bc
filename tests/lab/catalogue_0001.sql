-- A catalogue of schema 0001 with some of everything; written by napari-marrow 0.1.0, never by hand.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE event (
	job_id INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	payload JSON NOT NULL, 
	at DOUBLE NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (job_id, seq), 
	CONSTRAINT fk_event_job_id FOREIGN KEY(job_id) REFERENCES job (id)
);
INSERT INTO "event" VALUES(1,1,'state','{"state": "waiting"}',1700000023.0);
INSERT INTO "event" VALUES(1,2,'state','{"state": "running"}',1700000026.0);
INSERT INTO "event" VALUES(1,3,'epoch','{"run": 0, "epoch": 1, "loss": 1.0, "done": 1}',1700000027.0);
INSERT INTO "event" VALUES(1,4,'epoch','{"run": 0, "epoch": 2, "loss": 0.5, "done": 2}',1700000028.0);
INSERT INTO "event" VALUES(1,5,'model','{"model": "m1", "run": 0, "looks_at_test": 1}',1700000029.0);
INSERT INTO "event" VALUES(1,6,'state','{"state": "done"}',1700000029.0);
INSERT INTO "event" VALUES(2,1,'state','{"state": "waiting", "known": 0}',1700000030.0);
INSERT INTO "event" VALUES(2,2,'state','{"state": "running"}',1700000033.0);
INSERT INTO "event" VALUES(2,3,'piece','{"piece": 0, "smears": [1, 2], "done": 2, "failed": 0, "total": 4}',1700000034.0);
INSERT INTO "event" VALUES(2,4,'piece','{"piece": 1, "smears": [3, 4], "done": 3, "failed": 1, "total": 4}',1700000038.0);
INSERT INTO "event" VALUES(2,5,'state','{"state": "done"}',1700000038.0);
INSERT INTO "event" VALUES(3,1,'state','{"state": "waiting", "known": 3}',1700000040.0);
INSERT INTO "event" VALUES(3,2,'state','{"state": "running"}',1700000043.0);
INSERT INTO "event" VALUES(3,3,'piece','{"piece": 0, "smears": [4, 5], "done": 5, "failed": 0, "total": 10}',1700000044.0);
INSERT INTO "event" VALUES(4,1,'state','{"state": "waiting", "known": 1}',1700000049.0);
INSERT INTO "event" VALUES(5,1,'state','{"state": "waiting", "known": 0}',1700000050.0);
INSERT INTO "event" VALUES(6,1,'state','{"state": "waiting", "known": 0}',1700000051.0);
INSERT INTO "event" VALUES(6,2,'state','{"state": "cancelling"}',1700000052.0);
INSERT INTO "event" VALUES(6,3,'state','{"state": "cancelled"}',1700000052.0);
INSERT INTO "event" VALUES(7,1,'state','{"state": "waiting", "known": 0}',1700000053.0);
INSERT INTO "event" VALUES(7,2,'state','{"state": "running"}',1700000056.0);
INSERT INTO "event" VALUES(7,3,'state','{"state": "cancelling"}',1700000057.0);
INSERT INTO "event" VALUES(8,1,'state','{"state": "waiting"}',1700000058.0);
INSERT INTO "event" VALUES(8,2,'state','{"state": "running"}',1700000060.0);
INSERT INTO "event" VALUES(8,3,'epoch','{"run": 0, "epoch": 1, "loss": 1.25, "done": 1}',1700000061.0);
CREATE TABLE job (
	id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	state TEXT NOT NULL, 
	priority TEXT NOT NULL, 
	spec JSON NOT NULL, 
	last_seq INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	done INTEGER NOT NULL, 
	failed INTEGER NOT NULL, 
	night JSON, 
	opens_at DOUBLE, 
	closes_at DOUBLE, 
	created_at DOUBLE NOT NULL, 
	started_at DOUBLE, 
	finished_at DOUBLE, 
	error TEXT, 
	CONSTRAINT pk_job PRIMARY KEY (id), 
	CONSTRAINT ck_job_kind CHECK (kind IN ('classify', 'sweep')), 
	CONSTRAINT ck_job_priority CHECK (priority IN ('interactive', 'overnight')), 
	CONSTRAINT ck_job_state CHECK (state IN ('waiting', 'running', 'cancelling', 'cancelled', 'done', 'failed'))
);
INSERT INTO "job" VALUES(1,'sweep','done','overnight','{"runs": [{"backbone": "resnet18", "weights": "none", "weights_sha256": null, "tune": "heads", "epochs": 2, "loss_weights": [], "seed": 0, "batch_size": 32, "trunk_learning_rate": 0.0001, "head_learning_rate": 0.001, "dropout": 0.2, "input_px": 256, "tiles_per_slide": 16, "test_share": 0.3, "smear_is_patient": false}]}',6,2,2,0,NULL,NULL,NULL,1700000023.0,1700000026.0,1700000029.0,NULL);
INSERT INTO "job" VALUES(2,'classify','done','interactive','{"model_id": 1}',5,4,3,1,NULL,NULL,NULL,1700000030.0,1700000033.0,1700000038.0,NULL);
INSERT INTO "job" VALUES(3,'classify','running','interactive','{"model_id": 1}',3,10,5,0,NULL,NULL,NULL,1700000040.0,1700000043.0,NULL,NULL);
INSERT INTO "job" VALUES(4,'classify','waiting','overnight','{"model_id": 1}',1,4,1,0,'{"at": "22:00", "until": "06:00", "zone": "Europe/Berlin"}',1699995600.0,1700024400.0,1700000049.0,NULL,NULL,NULL);
INSERT INTO "job" VALUES(5,'classify','waiting','overnight','{"model_id": 1}',1,3,0,0,'{"at": "22:00", "until": null, "zone": "Europe/Berlin"}',1700082000.0,NULL,1700000050.0,NULL,NULL,NULL);
INSERT INTO "job" VALUES(6,'classify','cancelled','interactive','{"model_id": 1}',3,2,0,0,NULL,NULL,NULL,1700000051.0,NULL,1700000052.0,NULL);
INSERT INTO "job" VALUES(7,'classify','cancelling','interactive','{"model_id": 1}',3,1,0,0,NULL,NULL,NULL,1700000053.0,1700000056.0,NULL,NULL);
INSERT INTO "job" VALUES(8,'sweep','running','overnight','{"runs": [{"backbone": "resnet18", "weights": "none", "weights_sha256": null, "tune": "full", "epochs": 3, "loss_weights": [], "seed": 5, "batch_size": 32, "trunk_learning_rate": 0.0001, "head_learning_rate": 0.001, "dropout": 0.2, "input_px": 256, "tiles_per_slide": 16, "test_share": 0.3, "smear_is_patient": false}]}',3,3,1,0,NULL,NULL,NULL,1700000058.0,1700000060.0,NULL,NULL);
CREATE TABLE job_smear (
	job_id INTEGER NOT NULL, 
	smear_id INTEGER NOT NULL, 
	piece INTEGER, 
	prediction_id INTEGER, 
	error TEXT, 
	CONSTRAINT pk_job_smear PRIMARY KEY (job_id, smear_id), 
	CONSTRAINT fk_job_smear_job_id FOREIGN KEY(job_id) REFERENCES job (id), 
	CONSTRAINT fk_job_smear_prediction_id FOREIGN KEY(prediction_id) REFERENCES prediction (id), 
	CONSTRAINT fk_job_smear_smear_id FOREIGN KEY(smear_id) REFERENCES smear (id)
);
INSERT INTO "job_smear" VALUES(2,1,0,1,NULL);
INSERT INTO "job_smear" VALUES(2,2,0,2,NULL);
INSERT INTO "job_smear" VALUES(2,3,1,3,NULL);
INSERT INTO "job_smear" VALUES(2,4,1,NULL,'field3.png: not there (root ''smears''): mount it, or use `marrow import --copy`');
INSERT INTO "job_smear" VALUES(3,1,NULL,1,NULL);
INSERT INTO "job_smear" VALUES(3,2,NULL,2,NULL);
INSERT INTO "job_smear" VALUES(3,3,NULL,3,NULL);
INSERT INTO "job_smear" VALUES(3,4,0,4,NULL);
INSERT INTO "job_smear" VALUES(3,5,0,5,NULL);
INSERT INTO "job_smear" VALUES(3,6,1,NULL,NULL);
INSERT INTO "job_smear" VALUES(3,7,1,NULL,NULL);
INSERT INTO "job_smear" VALUES(3,8,2,NULL,NULL);
INSERT INTO "job_smear" VALUES(3,9,3,NULL,NULL);
INSERT INTO "job_smear" VALUES(3,10,4,NULL,NULL);
INSERT INTO "job_smear" VALUES(4,5,NULL,5,NULL);
INSERT INTO "job_smear" VALUES(4,6,0,NULL,NULL);
INSERT INTO "job_smear" VALUES(4,7,0,NULL,NULL);
INSERT INTO "job_smear" VALUES(4,8,1,NULL,NULL);
INSERT INTO "job_smear" VALUES(5,7,0,NULL,NULL);
INSERT INTO "job_smear" VALUES(5,8,0,NULL,NULL);
INSERT INTO "job_smear" VALUES(5,9,1,NULL,NULL);
INSERT INTO "job_smear" VALUES(6,9,0,NULL,NULL);
INSERT INTO "job_smear" VALUES(6,10,1,NULL,NULL);
INSERT INTO "job_smear" VALUES(7,10,0,NULL,NULL);
CREATE TABLE label (
	id INTEGER NOT NULL, 
	smear_id INTEGER NOT NULL, 
	head TEXT NOT NULL, 
	answer TEXT NOT NULL, 
	reader TEXT NOT NULL, 
	seen_prediction BOOLEAN NOT NULL, 
	at DOUBLE NOT NULL, 
	superseded_at DOUBLE, 
	CONSTRAINT pk_label PRIMARY KEY (id), 
	CONSTRAINT fk_label_smear_id FOREIGN KEY(smear_id) REFERENCES smear (id)
);
INSERT INTO "label" VALUES(1,2,'diagnosis','AA','anna',0,1700000011.0,NULL);
INSERT INTO "label" VALUES(2,3,'diagnosis','MDS','anna',1,1700000012.0,1700000018.0);
INSERT INTO "label" VALUES(3,4,'diagnosis','AML','anna',0,1700000013.0,NULL);
INSERT INTO "label" VALUES(4,5,'diagnosis','unsure','anna',1,1700000014.0,NULL);
INSERT INTO "label" VALUES(5,6,'diagnosis','MDS','anna',0,1700000015.0,NULL);
INSERT INTO "label" VALUES(6,7,'diagnosis','AA','anna',1,1700000016.0,NULL);
INSERT INTO "label" VALUES(7,8,'diagnosis','AML','anna',0,1700000017.0,NULL);
INSERT INTO "label" VALUES(8,3,'diagnosis','AML','anna',0,1700000018.0,NULL);
INSERT INTO "label" VALUES(9,3,'diagnosis','MDS','bert',1,1700000019.0,NULL);
CREATE TABLE model (
	id INTEGER NOT NULL, 
	sha256 TEXT NOT NULL, 
	path TEXT NOT NULL, 
	preprocessing TEXT NOT NULL, 
	precision TEXT NOT NULL, 
	job_id INTEGER, 
	is_champion BOOLEAN NOT NULL, 
	created_at DOUBLE NOT NULL, 
	card JSON NOT NULL, 
	CONSTRAINT pk_model PRIMARY KEY (id), 
	CONSTRAINT ck_model_precision CHECK (precision IN ('fp32', 'bf16')), 
	CONSTRAINT fk_model_job_id FOREIGN KEY(job_id) REFERENCES job (id), 
	CONSTRAINT uq_model_sha256 UNIQUE (sha256)
);
INSERT INTO "model" VALUES(1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','models/aaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','fp32',1,1,1700000029.0,'{"backbone": "resnet18", "figures": {"heads": {"diagnosis": {"accuracy": {"value": 0.75, "low": 0.3, "high": 0.95, "n": 4, "unit": "patients"}}}}}');
CREATE TABLE piece (
	job_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	payload JSON, 
	owner TEXT, 
	attempt INTEGER NOT NULL, 
	lease_until DOUBLE, 
	sent_at DOUBLE, 
	sends INTEGER NOT NULL, 
	exceptions INTEGER NOT NULL, 
	lost_leases INTEGER NOT NULL, 
	started_at DOUBLE, 
	finished_at DOUBLE, 
	error TEXT, 
	CONSTRAINT pk_piece PRIMARY KEY (job_id, number), 
	CONSTRAINT ck_piece_state CHECK (state IN ('new', 'running', 'done', 'failed', 'cancelled', 'split')), 
	CONSTRAINT fk_piece_job_id FOREIGN KEY(job_id) REFERENCES job (id)
);
INSERT INTO "piece" VALUES(1,0,'done','{"run": 0, "segment": 0, "checkpoint": null}',NULL,1,NULL,NULL,0,0,0,1700000026.0,1700000029.0,NULL);
INSERT INTO "piece" VALUES(2,0,'done',NULL,NULL,1,NULL,NULL,0,0,0,1700000033.0,1700000034.0,NULL);
INSERT INTO "piece" VALUES(2,1,'done',NULL,NULL,1,NULL,NULL,0,0,0,1700000037.0,1700000038.0,NULL);
INSERT INTO "piece" VALUES(3,0,'done',NULL,NULL,1,NULL,NULL,0,0,0,1700000043.0,1700000044.0,NULL);
INSERT INTO "piece" VALUES(3,1,'running',NULL,'host-a:4242:1699999000',1,1700000077.0,NULL,0,0,0,1700000047.0,NULL,NULL);
INSERT INTO "piece" VALUES(3,2,'new',NULL,NULL,0,NULL,1700000048.0,1,0,0,NULL,NULL,NULL);
INSERT INTO "piece" VALUES(3,3,'new',NULL,NULL,0,NULL,1700000048.0,1,0,0,NULL,NULL,NULL);
INSERT INTO "piece" VALUES(3,4,'new',NULL,NULL,0,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "piece" VALUES(4,0,'new',NULL,NULL,0,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "piece" VALUES(4,1,'new',NULL,NULL,0,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "piece" VALUES(5,0,'new',NULL,NULL,0,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "piece" VALUES(5,1,'new',NULL,NULL,0,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "piece" VALUES(6,0,'cancelled',NULL,NULL,0,NULL,NULL,0,0,0,NULL,1700000052.0,NULL);
INSERT INTO "piece" VALUES(6,1,'cancelled',NULL,NULL,0,NULL,NULL,0,0,0,NULL,1700000052.0,NULL);
INSERT INTO "piece" VALUES(7,0,'running',NULL,'host-b:17:1699999500',1,1700000086.0,NULL,0,0,0,1700000056.0,NULL,NULL);
INSERT INTO "piece" VALUES(8,0,'done','{"run": 0, "segment": 0, "checkpoint": null}',NULL,1,NULL,NULL,0,0,0,1700000060.0,1700000062.0,NULL);
INSERT INTO "piece" VALUES(8,1,'new','{"run": 0, "segment": 1, "checkpoint": {"path": "runs/j8-r0/segment-00000-attempt-1.safetensors", "sha256": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", "epoch": 1, "batch": 0}}',NULL,0,NULL,NULL,0,0,0,NULL,NULL,NULL);
CREATE TABLE prediction (
	id INTEGER NOT NULL, 
	smear_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	preprocessing TEXT NOT NULL, 
	precision TEXT NOT NULL, 
	regions_revision INTEGER NOT NULL, 
	provenance_id INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	flags TEXT NOT NULL, 
	top_p DOUBLE NOT NULL, 
	call_0 INTEGER, 
	call_1 INTEGER, 
	call_2 INTEGER, 
	call_3 INTEGER, 
	call_4 INTEGER, 
	call_5 INTEGER, 
	p_00 DOUBLE, 
	p_01 DOUBLE, 
	p_02 DOUBLE, 
	p_03 DOUBLE, 
	p_04 DOUBLE, 
	p_05 DOUBLE, 
	p_06 DOUBLE, 
	p_07 DOUBLE, 
	p_08 DOUBLE, 
	p_09 DOUBLE, 
	p_10 DOUBLE, 
	p_11 DOUBLE, 
	p_12 DOUBLE, 
	p_13 DOUBLE, 
	p_14 DOUBLE, 
	p_15 DOUBLE, 
	p_16 DOUBLE, 
	p_17 DOUBLE, 
	p_18 DOUBLE, 
	p_19 DOUBLE, 
	p_20 DOUBLE, 
	p_21 DOUBLE, 
	p_22 DOUBLE, 
	p_23 DOUBLE, 
	CONSTRAINT pk_prediction PRIMARY KEY (id), 
	CONSTRAINT fk_prediction_model_id FOREIGN KEY(model_id) REFERENCES model (id), 
	CONSTRAINT fk_prediction_provenance_id FOREIGN KEY(provenance_id) REFERENCES provenance (id), 
	CONSTRAINT fk_prediction_smear_id FOREIGN KEY(smear_id) REFERENCES smear (id), 
	CONSTRAINT uq_prediction_smear_id_model_id_preprocessing_precision_regions_revision UNIQUE (smear_id, model_id, preprocessing, precision, regions_revision)
);
INSERT INTO "prediction" VALUES(1,1,1,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','fp32',2,1,1700000034.0,'',7.94999999999999928945e-01,0,2,NULL,NULL,NULL,NULL,0.954,0.046,0.159,0.046,7.94999999999999928945e-01,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "prediction" VALUES(2,2,1,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','fp32',0,1,1700000034.0,'',0.595,0,2,NULL,NULL,NULL,NULL,0.746,0.254,0.151,0.254,0.595,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "prediction" VALUES(3,3,1,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','fp32',0,1,1700000038.0,'',0.737,0,2,NULL,NULL,NULL,NULL,0.795,0.205,0.058,0.205,0.737,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "prediction" VALUES(4,4,1,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','fp32',0,1,1700000044.0,'',0.509,0,0,NULL,NULL,NULL,NULL,0.942,0.058,0.509,0.058,0.433,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "prediction" VALUES(5,5,1,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','fp32',0,1,1700000044.0,'',0.492,0,0,NULL,NULL,NULL,NULL,8.14000000000000056843e-01,0.186,0.492,0.186,0.322,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE prediction_map (
	prediction_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	shape JSON NOT NULL, 
	cell_px JSON NOT NULL, 
	"values" BLOB NOT NULL, 
	CONSTRAINT pk_prediction_map PRIMARY KEY (prediction_id), 
	CONSTRAINT ck_prediction_map_kind CHECK (kind IN ('activation', 'tiles')), 
	CONSTRAINT fk_prediction_map_prediction_id FOREIGN KEY(prediction_id) REFERENCES prediction (id)
);
INSERT INTO "prediction_map" VALUES(1,'activation','[5, 2, 2]','[512.0, 640.0]',X'8835933A493536BD3E3B24374CB8A638D535B53447276038E4B937B1B7B7CA381629AEB441BA1DB4');
INSERT INTO "prediction_map" VALUES(2,'activation','[5, 2, 2]','[512.0, 640.0]',X'0D322FB89CB6E2C0333F943C35B5313A80346EB8D23BF8B443B556BA483759AE5D38DCB80F3023BB');
INSERT INTO "prediction_map" VALUES(3,'activation','[5, 2, 2]','[512.0, 640.0]',X'15401DC1B1368BB83EB7E6B20AC06CB3ECBAA5423A33A4B580B458B938BC41B6B637A2B3A93B65B2');
INSERT INTO "prediction_map" VALUES(4,'activation','[5, 2, 2]','[512.0, 640.0]',X'37B997B1A83E463991BE549DFDB8C2306FBEBD3388334D3E11351638F9BD8140AABF683C47B50CBB');
INSERT INTO "prediction_map" VALUES(5,'tiles','[5, 2, 2]','[512.0, 640.0]',X'6ABA4CBDF3B3BA368B3C052F6CB847BAFD398A3E5D34EFBCABBB663E7E32EEBE5BADA7BC09B9CFB7');
CREATE TABLE provenance (
	id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	CONSTRAINT pk_provenance PRIMARY KEY (id), 
	CONSTRAINT uq_provenance_text UNIQUE (text)
);
INSERT INTO "provenance" VALUES(1,'{"code_version":"0.1.0","torch_version":"2.6.0","device":"cpu","host":"host-a"}');
CREATE TABLE region (
	id INTEGER NOT NULL, 
	smear_id INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	class_name TEXT, 
	polygon JSON NOT NULL, 
	reader TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	superseded_at DOUBLE, 
	CONSTRAINT pk_region PRIMARY KEY (id), 
	CONSTRAINT ck_region_role CHECK (role IN ('use', 'exclude', 'class')), 
	CONSTRAINT fk_region_smear_id FOREIGN KEY(smear_id) REFERENCES smear (id)
);
INSERT INTO "region" VALUES(1,9,'use',NULL,'[[10.0, 10.0], [10.0, 510.5], [510.0, 510.0], [510.0, 10.0]]','anna',1700000020.0,NULL);
INSERT INTO "region" VALUES(2,9,'exclude',NULL,'[[100.25, 100.25], [100.25, 600.75], [600.25, 600.25], [600.25, 100.25]]','anna',1700000020.0,NULL);
INSERT INTO "region" VALUES(3,1,'class','MDS','[[0.0, 0.0], [0.0, 500.5], [500.0, 500.0], [500.0, 0.0]]','bert',1700000021.0,1700000022.0);
INSERT INTO "region" VALUES(4,1,'class','AML','[[1.0, 1.0], [1.0, 501.5], [501.0, 501.0], [501.0, 1.0]]','bert',1700000022.0,NULL);
CREATE TABLE scoring (
	id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	side TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	figures JSON NOT NULL, 
	CONSTRAINT pk_scoring PRIMARY KEY (id), 
	CONSTRAINT fk_scoring_model_id FOREIGN KEY(model_id) REFERENCES model (id)
);
INSERT INTO "scoring" VALUES(1,1,'test',1700000029.0,'{"heads": {"diagnosis": {"accuracy": {"value": 0.75, "low": 0.3, "high": 0.95, "n": 4, "unit": "patients"}}}}');
CREATE TABLE smear (
	id INTEGER NOT NULL, 
	identity TEXT NOT NULL, 
	root TEXT NOT NULL, 
	path TEXT NOT NULL, 
	members JSON NOT NULL, 
	height_px INTEGER NOT NULL, 
	width_px INTEGER NOT NULL, 
	is_slide BOOLEAN NOT NULL, 
	pixel_size_um DOUBLE, 
	patient TEXT, 
	slide TEXT, 
	site TEXT, 
	regions_revision INTEGER NOT NULL, 
	added_at DOUBLE NOT NULL, 
	CONSTRAINT pk_smear PRIMARY KEY (id), 
	CONSTRAINT uq_smear_identity UNIQUE (identity)
);
INSERT INTO "smear" VALUES(1,'0000000000000000000000000000000000000000000000000000000000000000','smears','2023/field0.png','[]',1024,1280,0,NULL,NULL,NULL,'Kiel',2,1700000001.0);
INSERT INTO "smear" VALUES(2,'0000000000000000000000000000000000000000000000000000000000000001','smears','2023/field1.png','[]',1024,1280,0,0.25,'P-000',NULL,'Kiel',0,1700000002.0);
INSERT INTO "smear" VALUES(3,'0000000000000000000000000000000000000000000000000000000000000002','smears','2023/field2.png','[]',1024,1280,0,NULL,'P-001',NULL,'Kiel',0,1700000003.0);
INSERT INTO "smear" VALUES(4,'0000000000000000000000000000000000000000000000000000000000000003','smears','2023/field3.png','[]',1024,1280,0,0.25,'P-001','S1','Kiel',0,1700000004.0);
INSERT INTO "smear" VALUES(5,'0000000000000000000000000000000000000000000000000000000000000004','smears','2023/field4.png','[]',1024,1280,0,NULL,'P-002',NULL,'Kiel',0,1700000005.0);
INSERT INTO "smear" VALUES(6,'0000000000000000000000000000000000000000000000000000000000000005','smears','2023/field5.png','[]',1024,1280,0,0.25,'P-002',NULL,'Köln',0,1700000006.0);
INSERT INTO "smear" VALUES(7,'0000000000000000000000000000000000000000000000000000000000000006','local','/srv/smears/a field.png','[]',1024,1280,0,NULL,'P-003',NULL,'Köln',0,1700000007.0);
INSERT INTO "smear" VALUES(8,'0000000000000000000000000000000000000000000000000000000000000007','store','smears/00/0000000000000000000000000000000000000000000000000000000000000007.png','[]',1024,1280,0,0.25,'P-003',NULL,'Köln',0,1700000008.0);
INSERT INTO "smear" VALUES(9,'0000000000000000000000000000000000000000000000000000000000000008','smears','slides/one.svs','[]',40000,60000,1,NULL,'P-004',NULL,'Köln',1,1700000009.0);
INSERT INTO "smear" VALUES(10,'0000000000000000000000000000000000000000000000000000000000000009','smears','dicom/a.dcm','["dicom/a.dcm", "dicom/b.dcm"]',40000,60000,1,0.25,'P-004',NULL,'Köln',0,1700000010.0);
CREATE TABLE study (
	"key" TEXT NOT NULL, 
	value JSON NOT NULL, 
	CONSTRAINT pk_study PRIMARY KEY ("key")
);
INSERT INTO "study" VALUES('scheme','{"name": "aa-mds-aml", "unit": "patient", "primary": "diagnosis", "heads": [{"name": "mds", "classes": ["other", "MDS"], "positive": "MDS", "label_from": {"head": "diagnosis", "classes": {"MDS": ["MDS"]}}}, {"name": "diagnosis", "classes": ["AA", "MDS", "AML"], "positive": null, "label_from": null}], "implications": []}');
CREATE TABLE test_patient (
	patient TEXT NOT NULL, 
	CONSTRAINT pk_test_patient PRIMARY KEY (patient)
);
INSERT INTO "test_patient" VALUES('P-001');
INSERT INTO "test_patient" VALUES('P-003');
CREATE TABLE worker (
	id TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	device TEXT NOT NULL, 
	started_at DOUBLE NOT NULL, 
	seen_at DOUBLE NOT NULL, 
	CONSTRAINT pk_worker PRIMARY KEY (id)
);
INSERT INTO "worker" VALUES('host-a:4242:1699999000','host-a',4242,'cpu',1699999000.0,1700000100.0);
INSERT INTO "worker" VALUES('host-b:4242:1699999000','host-b',4242,'cpu',1699999000.0,1700000100.0);
CREATE INDEX ix_job_state ON job (state);
CREATE INDEX ix_smear_patient ON smear (patient);
CREATE INDEX ix_smear_site ON smear (site);
CREATE UNIQUE INDEX uq_label_standing ON label (smear_id, head, reader) WHERE superseded_at IS NULL;
CREATE INDEX ix_piece_open ON piece (state, job_id, number) WHERE state IN ('new', 'running');
CREATE INDEX ix_region_smear_id ON region (smear_id);
CREATE INDEX ix_prediction_at ON prediction (at);
CREATE INDEX ix_prediction_call_0 ON prediction (call_0) WHERE call_0 IS NOT NULL;
CREATE INDEX ix_prediction_call_1 ON prediction (call_1) WHERE call_1 IS NOT NULL;
CREATE INDEX ix_prediction_call_2 ON prediction (call_2) WHERE call_2 IS NOT NULL;
CREATE INDEX ix_prediction_call_3 ON prediction (call_3) WHERE call_3 IS NOT NULL;
CREATE INDEX ix_prediction_call_4 ON prediction (call_4) WHERE call_4 IS NOT NULL;
CREATE INDEX ix_prediction_call_5 ON prediction (call_5) WHERE call_5 IS NOT NULL;
CREATE INDEX ix_prediction_model_id ON prediction (model_id);
CREATE INDEX ix_prediction_p_00 ON prediction (p_00) WHERE p_00 IS NOT NULL;
CREATE INDEX ix_prediction_p_01 ON prediction (p_01) WHERE p_01 IS NOT NULL;
CREATE INDEX ix_prediction_p_02 ON prediction (p_02) WHERE p_02 IS NOT NULL;
CREATE INDEX ix_prediction_p_03 ON prediction (p_03) WHERE p_03 IS NOT NULL;
CREATE INDEX ix_prediction_p_04 ON prediction (p_04) WHERE p_04 IS NOT NULL;
CREATE INDEX ix_prediction_p_05 ON prediction (p_05) WHERE p_05 IS NOT NULL;
CREATE INDEX ix_prediction_p_06 ON prediction (p_06) WHERE p_06 IS NOT NULL;
CREATE INDEX ix_prediction_p_07 ON prediction (p_07) WHERE p_07 IS NOT NULL;
CREATE INDEX ix_prediction_p_08 ON prediction (p_08) WHERE p_08 IS NOT NULL;
CREATE INDEX ix_prediction_p_09 ON prediction (p_09) WHERE p_09 IS NOT NULL;
CREATE INDEX ix_prediction_p_10 ON prediction (p_10) WHERE p_10 IS NOT NULL;
CREATE INDEX ix_prediction_p_11 ON prediction (p_11) WHERE p_11 IS NOT NULL;
CREATE INDEX ix_prediction_p_12 ON prediction (p_12) WHERE p_12 IS NOT NULL;
CREATE INDEX ix_prediction_p_13 ON prediction (p_13) WHERE p_13 IS NOT NULL;
CREATE INDEX ix_prediction_p_14 ON prediction (p_14) WHERE p_14 IS NOT NULL;
CREATE INDEX ix_prediction_p_15 ON prediction (p_15) WHERE p_15 IS NOT NULL;
CREATE INDEX ix_prediction_p_16 ON prediction (p_16) WHERE p_16 IS NOT NULL;
CREATE INDEX ix_prediction_p_17 ON prediction (p_17) WHERE p_17 IS NOT NULL;
CREATE INDEX ix_prediction_p_18 ON prediction (p_18) WHERE p_18 IS NOT NULL;
CREATE INDEX ix_prediction_p_19 ON prediction (p_19) WHERE p_19 IS NOT NULL;
CREATE INDEX ix_prediction_p_20 ON prediction (p_20) WHERE p_20 IS NOT NULL;
CREATE INDEX ix_prediction_p_21 ON prediction (p_21) WHERE p_21 IS NOT NULL;
CREATE INDEX ix_prediction_p_22 ON prediction (p_22) WHERE p_22 IS NOT NULL;
CREATE INDEX ix_prediction_p_23 ON prediction (p_23) WHERE p_23 IS NOT NULL;
CREATE INDEX ix_prediction_top_p ON prediction (top_p);
CREATE INDEX ix_scoring_model_id ON scoring (model_id);
CREATE INDEX ix_job_smear_piece ON job_smear (job_id, piece);
COMMIT;
